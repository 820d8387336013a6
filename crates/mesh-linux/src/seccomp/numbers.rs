//! A filter that decides by the number of the call, and leaves to another one what hangs on arguments.
//!
//! When a filter is installed the kernel walks it once for every number there is, to learn which calls it
//! always allows. A chain of comparisons makes that a walk of its whole length each time, close to a
//! millisecond; here the numbers are halved at each step, and it is a few microseconds.

use nix::libc;
use seccompiler::{BpfProgram, sock_filter};
use std::collections::BTreeMap;

/// Numbers that are compared one after the other at the end of each branch.
const LEAF: usize = 4;

/// Offsets in `struct seccomp_data`: the number, and the architecture it is of.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

#[cfg(target_arch = "x86_64")]
const AUDIT_ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const AUDIT_ARCH: u32 = 0xc000_00b7;

/// A system call of the x32 interface has this bit. No machine of ours offers it; where one does, it
/// would pass a filter by numbers.
#[cfg(target_arch = "x86_64")]
const X32_BIT: u32 = 0x4000_0000;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It gives this errno.
    Refused(i32),
    /// The filter behind this one looks at its arguments.
    Examined,
}

/// A filter that gives each number its verdict, allows all others, and kills what calls by another
/// architecture's numbers. What is examined reaches the end of it, where `behind` begins. `None` if there are
/// too many numbers for the jumps of a filter.
pub(super) fn program(verdicts: &BTreeMap<u32, Verdict>, behind: &[sock_filter]) -> Option<BpfProgram> {
    let mut program = vec![
        load(ARCHITECTURE),
        jump(libc::BPF_JEQ, AUDIT_ARCH, 1, 0),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        load(NUMBER),
    ];
    #[cfg(target_arch = "x86_64")]
    program.extend([jump(libc::BPF_JGE, X32_BIT, 0, 1), refuse(libc::ENOSYS)]);
    let verdicts: Vec<(u32, Verdict)> =
        verdicts.iter().map(|(number, verdict)| (*number, *verdict)).collect();
    program.extend(branch(&verdicts)?);
    let end = program.len();
    for (place, instruction) in program.iter_mut().enumerate().filter(|(_, one)| **one == to_the_end()) {
        instruction.k = u32::try_from(end - place - 1).ok()?;
    }
    program.extend_from_slice(behind);
    Some(program)
}

fn branch(verdicts: &[(u32, Verdict)]) -> Option<BpfProgram> {
    if verdicts.len() <= LEAF {
        let mut leaf = BpfProgram::new();
        for (number, verdict) in verdicts {
            let then = match verdict {
                Verdict::Refused(errno) => refuse(*errno),
                Verdict::Examined => to_the_end(),
            };
            leaf.extend([jump(libc::BPF_JEQ, *number, 0, 1), then]);
        }
        leaf.push(answer(libc::SECCOMP_RET_ALLOW));
        return Some(leaf);
    }
    let (low, high) = verdicts.split_at(verdicts.len() / 2);
    let low = branch(low)?;
    let past = u8::try_from(low.len()).ok()?;
    let mut whole = vec![jump(libc::BPF_JGE, high.first()?.0, past, 0)];
    whole.extend(low);
    whole.extend(branch(high)?);
    Some(whole)
}

fn load(offset: u32) -> sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset)
}

fn jump(comparison: u32, value: u32, if_so: u8, if_not: u8) -> sock_filter {
    instruction(libc::BPF_JMP | comparison | libc::BPF_K, if_so, if_not, value)
}

/// A jump whose way is known once all is laid out.
fn to_the_end() -> sock_filter {
    instruction(libc::BPF_JMP | libc::BPF_JA, 0, 0, u32::MAX)
}

fn refuse(errno: i32) -> sock_filter {
    answer(libc::SECCOMP_RET_ERRNO | (errno.cast_unsigned() & libc::SECCOMP_RET_DATA))
}

fn answer(action: u32) -> sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, 0, 0, action)
}

fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> sock_filter {
    // The codes are constants below 256.
    sock_filter { code: (code & 0xff) as u16, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would do with the program.
    fn run(program: &[sock_filter], architecture: u32, number: u32) -> u32 {
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = &program[at];
            let taken = |yes: bool| if yes { usize::from(*jt) } else { usize::from(*jf) };
            at += 1;
            match u32::from(*code) & 0xf7 {
                0x20 => accumulator = if *k == NUMBER { number } else { architecture },
                0x15 => at += taken(accumulator == *k),
                0x05 => at += *k as usize,
                0x35 => at += taken(accumulator >= *k),
                0x06 => return *k,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    #[test]
    fn every_number_has_its_own_answer() {
        let verdict = |n: u32| match n % 3 {
            0 => Verdict::Examined,
            rest => Verdict::Refused(rest as i32),
        };
        let verdicts: BTreeMap<u32, Verdict> = (0..400).step_by(7).map(|n| (n, verdict(n))).collect();
        let examined = libc::SECCOMP_RET_TRACE;
        let program = program(&verdicts, &[answer(examined)]).unwrap();
        for number in 0..600 {
            let expected = match verdicts.get(&number) {
                Some(Verdict::Refused(errno)) => libc::SECCOMP_RET_ERRNO | errno.cast_unsigned(),
                Some(Verdict::Examined) => examined,
                None => libc::SECCOMP_RET_ALLOW,
            };
            assert_eq!(run(&program, AUDIT_ARCH, number), expected, "{number}");
        }
        assert_eq!(run(&program, 0x4000_0003, 1), libc::SECCOMP_RET_KILL_PROCESS);
        #[cfg(target_arch = "x86_64")]
        assert_eq!(run(&program, AUDIT_ARCH, X32_BIT | 1), libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32);
    }

    #[test]
    fn more_numbers_than_jumps_reach_are_refused() {
        let verdicts = (0..2000).map(|number| (number, Verdict::Refused(1))).collect();
        assert!(program(&verdicts, &[]).is_none());
    }
}
