//! The dynamic configuration: what is routed where, under Traefik's names.
//!
//! Values of these types are what was written, with Traefik's defaults in place and nothing else decided. They are
//! written as JSON the way Traefik's API shows them: what is empty is left out.

/// Structures with the names of a configuration: fields in camel case, all of them optional, empty ones not written.
///
/// Copies and comparisons are written out, since derived ones are compiled once more by whoever calls them.
macro_rules! record {
    ($(
        $(#[$attribute:meta])*
        $name:ident { $($(#[$field_attribute:meta])* $field:ident: $kind:ty,)* }
    )*) => {$(
        $(#[$attribute])*
        #[derive(Debug, serde::Deserialize, serde::Serialize)]
        #[serde(rename_all = "camelCase", default)]
        #[allow(missing_docs, reason = "a field is what Traefik's reference says of that name")]
        pub struct $name {
            $(
                $(#[$field_attribute])*
                #[serde(skip_serializing_if = "crate::model::is_default")]
                pub $field: $kind,
            )*
        }

        impl Clone for $name {
            fn clone(&self) -> Self {
                Self { $($field: self.$field.clone(),)* }
            }
        }

        impl PartialEq for $name {
            #[allow(unused_variables, reason = "there are structures without any field")]
            fn eq(&self, other: &Self) -> bool {
                true $(&& self.$field == other.$field)*
            }
        }

        impl crate::model::Shown for $name {
            fn shown(&self) -> serde_json::Value {
                serde_json::to_value(self).unwrap_or_default()
            }
        }
    )*};
}

mod http;
mod middleware;
mod service;
mod tcp;
mod tls;

pub use http::{HttpConfiguration, Router, RouterTls};
pub use middleware::*;
pub use service::*;
pub use tcp::*;
pub use tls::*;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::IgnoredAny};
use serde_json::Value;

pub use crate::named::Named;

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

/// What can be written as JSON the way Traefik's API shows it.
pub trait Shown {
    /// The JSON of it; an object for all of what is here.
    fn shown(&self) -> Value;
}

/// Whether a value is what it is without anything written.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A text that is shown as `xxxx` wherever it is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hidden(pub mesh_redact::Secret<String>);

impl Hidden {
    /// The text itself.
    pub fn expose(&self) -> &str {
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
pub struct Unsupported {
    /// Whether it was written.
    pub given: bool,
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
