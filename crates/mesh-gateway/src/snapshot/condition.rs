//! How services are, for whoever looks at all of them: whether a request would find somebody.
//!
//! It is found out by looking at servers, also where nobody asked for unwell services to be passed over.

use super::{Destination, Snapshot, tcp_servers::TcpDestination};

/// How many of those that may answer are well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Condition {
    /// All, or as many as anybody knows.
    #[default]
    Well,
    /// Some.
    Partly,
    /// None.
    Down,
}

impl Condition {
    /// Of several, each of which may answer.
    fn of(all: impl IntoIterator<Item = Self>) -> Self {
        let mut all = all.into_iter();
        let Some(first) = all.next() else { return Self::Down };
        all.fold(first, |left, right| if left == right { left } else { Self::Partly })
    }

    fn of_servers(up: impl IntoIterator<Item = bool>) -> Self {
        Self::of(up.into_iter().map(|up| if up { Self::Well } else { Self::Down }))
    }

    /// As the API says it; nothing where all is well.
    pub(crate) fn text(self) -> Option<&'static str> {
        match self {
            Self::Well => None,
            Self::Partly => Some("partly"),
            Self::Down => Some("down"),
        }
    }
}

impl Destination {
    fn condition(&self) -> Condition {
        match self {
            Self::Balancer(balancer) => {
                Condition::of_servers(balancer.states().iter().map(|server| server.up))
            }
            Self::Weighted(weighted) => Condition::of(weighted.services.iter().map(|one| one.condition())),
            Self::Mirroring(mirrored) => mirrored.service.condition(),
            Self::Failover(fallback) => match fallback.service.condition() {
                Condition::Down if fallback.fallback.condition() != Condition::Down => Condition::Partly,
                service => service,
            },
            Self::Layered(layered) => layered.service.condition(),
            Self::Own(_) => Condition::Well,
        }
    }
}

impl TcpDestination {
    fn condition(&self) -> Condition {
        match self {
            Self::Servers(all) => Condition::of_servers(all.up()),
            Self::Weighted { services, .. } => Condition::of(services.iter().map(|one| one.condition())),
        }
    }
}

impl Snapshot {
    /// How a service is; well, if it is not served at all: its status says that.
    pub(crate) fn condition(&self, service: &str) -> Condition {
        self.destinations.get(service).map(|destination| destination.condition()).unwrap_or_default()
    }

    /// The same for a service of TCP.
    pub(crate) fn tcp_condition(&self, service: &str) -> Condition {
        self.tcp_destinations.get(service).map(|destination| destination.condition()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_nobody_is_down() {
        use Condition::{Down, Partly, Well};
        for (all, expected) in [
            (&[][..], Down),
            (&[Well, Well], Well),
            (&[Down, Down], Down),
            (&[Down, Well], Partly),
            (&[Well, Partly], Partly),
            (&[Partly, Down], Partly),
        ] {
            assert_eq!(Condition::of(all.iter().copied()), expected, "{all:?}");
        }
        assert_eq!(Condition::of_servers([false, true]), Partly);
    }
}
