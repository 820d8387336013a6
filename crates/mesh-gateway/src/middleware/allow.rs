//! Clients that may, by their addresses.

use super::{
    LayerError,
    exchange::{Exchange, Reply},
};
use crate::{config::model, rule::Networks};
use hyper::StatusCode;
use std::net::{IpAddr, Ipv6Addr};

/// Where addresses of those on the way stand.
const FORWARDED_FOR: &str = "x-forwarded-for";

#[derive(Debug)]
pub(crate) struct AllowList {
    allowed: Networks,
    whose: Whose,
    refused: StatusCode,
}

/// Which address is the client's.
#[derive(Debug, PartialEq)]
pub(super) enum Whose {
    /// Of whoever connected; cut to so many bits if it is IPv6.
    Peer(Option<u32>),
    /// So many from the end of those on the way.
    Depth(usize, Option<u32>),
    /// The last on the way that is none of these.
    NotThese(Networks),
}

impl AllowList {
    pub(super) fn new(config: &model::IpAllowList) -> Result<Self, LayerError> {
        if config.source_range.is_empty() {
            return Err(LayerError::NoRange);
        }
        let refused = match config.reject_status_code {
            0 => StatusCode::FORBIDDEN,
            code => {
                let status =
                    StatusCode::from_u16(code).ok().filter(|status| status.canonical_reason().is_some());
                status.ok_or(LayerError::Status(code))?
            }
        };
        let allowed = Networks::parse(&config.source_range)?;
        Ok(Self { allowed, whose: Whose::new(config.ip_strategy.as_ref())?, refused })
    }

    pub(super) fn before(&self, exchange: &Exchange) -> Result<(), Reply> {
        let address = self.whose.address(exchange);
        if address.is_some_and(|address| self.allowed.contain(address)) {
            return Ok(());
        }
        Err(Reply::plain(self.refused))
    }
}

impl Whose {
    pub(super) fn new(config: Option<&model::IpStrategy>) -> Result<Self, LayerError> {
        let Some(config) = config else { return Ok(Self::Peer(None)) };
        if config.depth <= 0 && !config.excluded_ips.is_empty() {
            return Ok(Self::NotThese(Networks::parse(&config.excluded_ips)?));
        }
        let bits = |bits: i64| match u32::try_from(bits) {
            Ok(bits @ 1..=128) => Ok(bits),
            _ => Err(LayerError::Subnet(bits)),
        };
        let subnet = config.ipv6_subnet.map(bits).transpose()?;
        match usize::try_from(config.depth) {
            Ok(depth @ 1..) => Ok(Self::Depth(depth, subnet)),
            _ => Ok(Self::Peer(subnet)),
        }
    }

    pub(super) fn address(&self, exchange: &Exchange) -> Option<IpAddr> {
        let on_the_way = || exchange.header(FORWARDED_FOR).unwrap_or_default().rsplit(',').map(str::trim);
        match self {
            Self::Peer(subnet) => exchange.client.map(|client| cut(client.ip(), *subnet)),
            Self::Depth(depth, subnet) => {
                let address = on_the_way().nth(depth - 1)?.parse().ok()?;
                Some(cut(address, *subnet))
            }
            Self::NotThese(networks) => {
                let other = |text: &&str| {
                    !text.is_empty() && !text.parse().is_ok_and(|address| networks.contain(address))
                };
                on_the_way().find(other)?.parse().ok()
            }
        }
    }
}

fn cut(address: IpAddr, subnet: Option<u32>) -> IpAddr {
    match (address, subnet) {
        (IpAddr::V6(address), Some(bits)) => {
            let mask = u128::MAX.checked_shl(Ipv6Addr::BITS - bits).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
        (address, _) => address,
    }
}
