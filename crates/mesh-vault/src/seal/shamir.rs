//! Shamir's secret sharing over GF(2^8), byte by byte, with the polynomial of AES (0x11b).
//!
//! A share is one byte for each of the secret's, and at its end the point at which they were computed. That is
//! the form of Vault's own unseal keys. No table is read and no branch is taken by what the bytes are.

use crate::{barrier::random, storage::StorageError};
use zeroize::Zeroizing;

/// Bytes that a share has more than the secret: its point.
pub(super) const OVERHEAD: usize = 1;

/// One share, wiped when it is dropped.
pub type Share = Zeroizing<Vec<u8>>;

/// Splits a secret into shares of which `threshold` give it back. Both are at least 2, `threshold` at most `shares`.
pub(super) fn split(secret: &[u8], shares: u8, threshold: u8) -> Result<Vec<Share>, StorageError> {
    let points = points(shares)?;
    let blank = || Zeroizing::new(Vec::with_capacity(secret.len() + OVERHEAD));
    let mut split: Vec<Share> = points.iter().map(|_| blank()).collect();
    let mut coefficients = Zeroizing::new(vec![0; usize::from(threshold)]);
    for byte in secret {
        random(&mut coefficients)?;
        coefficients[0] = *byte;
        for (share, point) in split.iter_mut().zip(&points) {
            share.push(evaluate(&coefficients, *point));
        }
    }
    for (share, point) in split.iter_mut().zip(points) {
        share.push(point);
    }
    Ok(split)
}

/// Why shares do not go together, in the words of Vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CombineError {
    /// One share or none.
    #[error("less than two parts cannot be used to reconstruct the secret")]
    TooFew,
    /// A share without a secret's byte.
    #[error("parts must be at least two bytes")]
    TooShort,
    /// Shares of different lengths.
    #[error("all parts must be the same length")]
    Lengths,
    /// Two shares of one point.
    #[error("duplicate part detected")]
    Duplicate,
}

/// What the shares give. With wrong or too few shares it is another secret, not an error.
pub(super) fn combine(shares: &[Share]) -> Result<Zeroizing<Vec<u8>>, CombineError> {
    let length = shares.first().map_or(0, |share| share.len());
    match shares {
        [] | [_] => return Err(CombineError::TooFew),
        _ if length <= OVERHEAD => return Err(CombineError::TooShort),
        _ if shares.iter().any(|share| share.len() != length) => return Err(CombineError::Lengths),
        _ => {}
    }
    let points: Vec<u8> = shares.iter().map(|share| share[length - 1]).collect();
    if points.iter().enumerate().any(|(index, point)| points[..index].contains(point)) {
        return Err(CombineError::Duplicate);
    }
    let weights: Vec<u8> = points.iter().map(|point| weight(*point, &points)).collect();
    let byte = |index: usize| {
        shares.iter().zip(&weights).fold(0, |sum, (share, weight)| sum ^ multiply(share[index], *weight))
    };
    Ok(Zeroizing::new((0..length - OVERHEAD).map(byte).collect()))
}

/// Lagrange's basis polynomial of a point, at 0.
fn weight(point: u8, points: &[u8]) -> u8 {
    let others = points.iter().filter(|other| **other != point);
    others.fold(1, |product, other| multiply(product, multiply(*other, inverse(point ^ other))))
}

/// The polynomial's value at a point: Horner's rule.
fn evaluate(coefficients: &[u8], point: u8) -> u8 {
    coefficients.iter().rev().fold(0, |sum, coefficient| multiply(sum, point) ^ coefficient)
}

fn multiply(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    for _ in 0..8 {
        product ^= a & 0u8.wrapping_sub(b & 1);
        let carry = 0u8.wrapping_sub(a >> 7);
        a = (a << 1) ^ (carry & 0x1b);
        b >>= 1;
    }
    product
}

/// `a^254`, which is `1/a`.
fn inverse(a: u8) -> u8 {
    let mut power = a;
    let mut product = 1;
    for _ in 0..7 {
        power = multiply(power, power);
        product = multiply(product, power);
    }
    product
}

/// So many different points, none of them 0 where the secret is.
fn points(count: u8) -> Result<Vec<u8>, StorageError> {
    let mut all: Vec<u8> = (1..=u8::MAX).collect();
    for index in 0..usize::from(count) {
        let mut choice = [0; 4];
        random(&mut choice)?;
        let left = all.len() - index;
        // The bias of this remainder does not matter: points are not secret.
        all.swap(index, index + u32::from_le_bytes(choice) as usize % left);
    }
    all.truncate(count.into());
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::{CombineError, combine, inverse, multiply, split};
    use zeroize::Zeroizing;

    #[test]
    fn the_field_is_that_of_aes() {
        // FIPS 197, 4.2.
        assert_eq!(multiply(0x57, 0x83), 0xc1);
        assert_eq!(multiply(0x57, 0x13), 0xfe);
        for a in 1..=u8::MAX {
            assert_eq!(multiply(a, inverse(a)), 1, "{a}");
        }
    }

    #[test]
    fn any_threshold_of_shares_gives_the_secret_and_fewer_do_not() {
        let secret: Vec<u8> = (0..32).collect();
        for (count, threshold) in [(2, 2), (3, 2), (5, 3), (255, 255), (255, 2)] {
            let shares = split(&secret, count, threshold).unwrap();
            let needed = usize::from(threshold);
            for start in [0, shares.len() - needed] {
                assert_eq!(*combine(&shares[start..start + needed]).unwrap(), secret);
            }
            if threshold > 2 {
                assert_ne!(*combine(&shares[..needed - 1]).unwrap(), secret);
            }
        }
    }

    #[test]
    fn shares_that_do_not_go_together() {
        let share = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
        for (shares, expected) in [
            (vec![], CombineError::TooFew),
            (vec![share(&[1, 2])], CombineError::TooFew),
            (vec![share(&[1]), share(&[2])], CombineError::TooShort),
            (vec![share(&[1, 2]), share(&[1, 2, 3])], CombineError::Lengths),
            (vec![share(&[1, 2]), share(&[3, 2])], CombineError::Duplicate),
        ] {
            assert_eq!(combine(&shares).unwrap_err(), expected);
        }
    }
}
