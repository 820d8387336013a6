//! Platforms: `linux/amd64`, `linux/arm/v7`, and which of an index's entries serves one.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An operating system and a processor.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Platform {
    /// Processor, as Go names it: `amd64`, `arm64`.
    #[serde(default)]
    pub architecture: String,
    /// Operating system: `linux`.
    #[serde(default)]
    pub os: String,
    /// Variant of the processor: `v7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Version of the operating system; Windows has it.
    #[serde(default, rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
}

/// Why a text is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a platform: it is written os/architecture[/variant], such as linux/arm64")]
pub struct PlatformError {
    /// The text, shortened.
    pub text: String,
}

/// Longest platform accepted, in bytes.
const PLATFORM_BYTES_MAX: usize = 64;

impl Platform {
    /// This machine's: Linux on the processor the program was built for.
    #[must_use]
    pub fn host() -> Self {
        Self::linux(std::env::consts::ARCH)
    }

    /// Linux on a processor, by any of its names.
    #[must_use]
    pub fn linux(architecture: &str) -> Self {
        let (architecture, variant) = normal(architecture, None);
        Self { architecture, os: "linux".to_owned(), variant, os_version: None }
    }

    /// Reads `os/architecture[/variant]`, `os`, or an architecture alone; other names of processors
    /// (`x86_64`, `aarch64`, `armhf`) become the registered ones.
    ///
    /// # Errors
    /// When it has more than three parts, an empty one, or characters no platform has.
    pub fn parse(text: &str) -> Result<Self, PlatformError> {
        let wrong = || PlatformError { text: text.chars().take(PLATFORM_BYTES_MAX).collect() };
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let parts: Vec<&str> = text.split('/').collect();
        if text.len() > PLATFORM_BYTES_MAX
            || parts.iter().any(|part| part.is_empty() || !part.chars().all(plain))
        {
            return Err(wrong());
        }
        let lower = |text: &str| text.to_ascii_lowercase();
        match parts.as_slice() {
            [alone] if is_os(&lower(alone)) => {
                Ok(Self { os: lower(alone), architecture: Self::host().architecture, ..Self::default() })
            }
            [alone] => Ok(Self::linux(&lower(alone))),
            [os, architecture, rest @ ..] if rest.len() <= 1 => {
                let variant = rest.first().map(|variant| lower(variant));
                let (architecture, variant) = normal(&lower(architecture), variant);
                Ok(Self { os: lower(os), architecture, variant, os_version: None })
            }
            _ => Err(wrong()),
        }
    }

    /// How well `offered` serves who asks for this platform: `None` not at all, else the lower the
    /// better. An ARM processor also runs the programs of those before it.
    #[must_use]
    pub fn distance(&self, offered: &Self) -> Option<u32> {
        let (architecture, variant) = normal(&offered.architecture, offered.variant.clone());
        if self.os != offered.os || self.architecture != architecture {
            return None;
        }
        match (generation(self), generation_of(&architecture, variant.as_deref())) {
            (Some(wanted), Some(offered)) => wanted.checked_sub(offered),
            _ if self.variant == variant => Some(0),
            // Neither says more than the other: what has no variant serves whoever names none.
            _ if self.variant.is_none() || variant.is_none() => Some(1),
            _ => None,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

fn is_os(text: &str) -> bool {
    matches!(text, "linux" | "windows" | "darwin" | "freebsd")
}

/// The registered name of a processor. The variants that say what goes without saying are dropped.
fn normal(architecture: &str, variant: Option<String>) -> (String, Option<String>) {
    let (name, implied) = match architecture {
        "x86_64" | "x86-64" | "amd64" => ("amd64", None),
        "i386" | "i686" | "x86" | "386" => ("386", None),
        "aarch64" | "arm64" => ("arm64", None),
        "armhf" => ("arm", Some("v7")),
        "armel" => ("arm", Some("v6")),
        "powerpc64le" | "powerpc64" => ("ppc64le", None),
        other => (other, None),
    };
    let variant = variant.or(implied.map(str::to_owned)).map(|variant| match variant.as_str() {
        "5" | "6" | "7" | "8" => format!("v{variant}"),
        _ => variant,
    });
    let variant = match (name, variant.as_deref()) {
        ("amd64", Some("v1")) | ("arm64", Some("v8")) => None,
        ("arm", None) => Some("v7".to_owned()),
        _ => variant,
    };
    (name.to_owned(), variant)
}

fn generation(platform: &Platform) -> Option<u32> {
    let (architecture, variant) = normal(&platform.architecture, platform.variant.clone());
    generation_of(&architecture, variant.as_deref())
}

/// Where generations follow each other, the number of this one.
fn generation_of(architecture: &str, variant: Option<&str>) -> Option<u32> {
    let number = |variant: &str| variant.strip_prefix('v')?.parse().ok();
    match (architecture, variant) {
        ("arm" | "amd64" | "arm64", Some(variant)) => number(variant),
        ("amd64", None) => Some(1),
        ("arm64", None) => Some(8),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_read_by_any_of_their_names() {
        for (text, expected) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("Linux/AArch64/v8", "linux/arm64"),
            ("arm64", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
            ("linux/arm/6", "linux/arm/v6"),
            ("windows/amd64", "windows/amd64"),
        ] {
            assert_eq!(Platform::parse(text).unwrap().to_string(), expected, "{text}");
        }
        for text in ["", "linux/", "a/b/c/d", "linux/a b", &"x".repeat(65)] {
            assert!(Platform::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_nearest_generation_serves() {
        let distance = |wanted: &str, offered: &str| {
            Platform::parse(wanted).unwrap().distance(&Platform::parse(offered).unwrap())
        };
        assert_eq!(distance("linux/amd64", "linux/amd64"), Some(0));
        assert_eq!(distance("linux/amd64", "linux/arm64"), None);
        assert_eq!(distance("linux/amd64", "windows/amd64"), None);
        assert_eq!(distance("linux/amd64", "linux/amd64/v3"), None);
        assert_eq!(distance("linux/amd64/v3", "linux/amd64"), Some(2));
        assert_eq!(distance("linux/arm/v7", "linux/arm/v6"), Some(1));
        assert_eq!(distance("linux/arm/v6", "linux/arm/v7"), None);
        assert_eq!(distance("linux/arm64", "linux/arm64/v8"), Some(0));
        assert_eq!(distance("linux/riscv64", "linux/riscv64"), Some(0));
    }
}
