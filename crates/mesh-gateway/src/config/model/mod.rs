//! The dynamic configuration: what is routed where, under Traefik's names.
//!
//! Values of these types are what was written, with Traefik's defaults in place and nothing else decided. They are
//! written as JSON the way Traefik's API shows them: what is empty is left out.

/// Structures with the names of a configuration: fields in camel case, all of them optional, empty ones not written.
macro_rules! record {
    ($(
        $(#[$attribute:meta])*
        $name:ident { $($(#[$field_attribute:meta])* $field:ident: $kind:ty,)* }
    )*) => {$(
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, serde::Deserialize, serde::Serialize)]
        #[serde(rename_all = "camelCase", default)]
        pub(crate) struct $name {
            $(
                $(#[$field_attribute])*
                #[serde(skip_serializing_if = "crate::config::model::is_default")]
                pub(crate) $field: $kind,
            )*
        }
    )*};
}

mod http;
mod middleware;
mod service;
mod tcp;
mod tls;

pub(crate) use http::{HttpConfiguration, Router, RouterTls};
pub(crate) use middleware::*;
pub(crate) use service::*;
pub(crate) use tcp::*;
pub(crate) use tls::*;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::IgnoredAny};
use std::collections::BTreeMap;

/// Things by their names.
pub(crate) type Named<T> = BTreeMap<String, T>;

record! {
    /// The root.
    #[derive(Default)]
    Configuration {
        http: HttpConfiguration,
        tcp: TcpConfiguration,
        udp: UdpConfiguration,
        tls: TlsConfiguration,
    }

    /// A structure without any field: that it is there is what it says.
    #[derive(Default, Eq)]
    Present {}
}

/// Whether a value is what it is without anything written.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A text that is shown as `xxxx` wherever it is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Hidden(pub(crate) mesh_redact::Secret<String>);

impl Hidden {
    pub(crate) fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(mesh_redact::Secret::new(text)))
    }
}

impl Serialize for Hidden {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("xxxx")
    }
}

/// Something of which only is known that it was written; nothing of it is done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Unsupported {
    pub(crate) given: bool,
}

impl<'de> Deserialize<'de> for Unsupported {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self { given: true })
    }
}

impl Serialize for Unsupported {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(self.given)
    }
}
