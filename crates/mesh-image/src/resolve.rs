//! From a reference to an image: find the recipe, look into the index, and where it is not stored
//! find out what is needed, build the layers and write the index.
//!
//! An image is [base layer, packages, fix-ups]. The base is shared by all; packages are a layer of
//! their own so that two recipes of the same packages share it, and a changed recipe downloads nothing.

use crate::{
    apt::closure::{BasePlan, Package, upstream},
    catalog::{Catalog, catalog},
    error::ImageError,
    host::{self, Release},
    index::Entry,
    layer::{
        FORMAT, Manifest,
        fixups::{self, EMBEDDED_BINARY},
        libraries,
        tree::Tree,
        unpack,
    },
    lock::Lock,
    progress::{Reporter, Request},
    recipe::{Config, Recipe},
    store::Inner,
};
use mesh_model::{
    image::{Image, ImageConfig, ImageVolume, Source},
    service::PullPolicy,
};
use mesh_oci::reference::Reference;
use sha2::{Digest as _, Sha256};
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    thread,
    time::SystemTime,
};

/// Version of the binary that embedded services run from: another one makes other images.
const OWN_VERSION: &str = env!("CARGO_PKG_VERSION");

/// What is asked for, as far as it is known without apt.
struct Wanted<'a> {
    reference: Reference,
    recipe: &'a Recipe,
    base: &'a Recipe,
    release: Release,
    /// The number the tag asks for, where the recipe has alternatives of that number.
    major: Option<u32>,
}

impl Inner {
    /// What is stored of packages that stand in for an image, if it is.
    pub(crate) fn stored_stand_in(&self, request: &Request) -> Result<Option<Image>, ImageError> {
        let wanted = Wanted::find(request, catalog())?;
        self.stored(&wanted.key(self.owners_kept), request)
    }

    /// The image that packages make.
    pub(crate) fn stand_in(&self, request: &Request, reporter: &Reporter) -> Result<Image, ImageError> {
        let wanted = Wanted::find(request, catalog())?;
        let key = wanted.key(self.owners_kept);
        if request.pull != PullPolicy::Always
            && let Some(image) = self.stored(&key, request)?
        {
            reporter.ready(label(&image.source));
            return Ok(image);
        }
        if request.pull == PullPolicy::Never {
            return Err(ImageError::NotStored { reference: request.reference.clone() });
        }
        let asked = SystemTime::now();
        let _fetching = self.fetching()?;
        let _alone = Lock::exclusive(&self.lock_path(&format!("image-{key}")))?;
        if request.pull != PullPolicy::Always
            && let Some(image) = self.stored(&key, request)?
        {
            reporter.ready(label(&image.source));
            return Ok(image);
        }
        let oldest = match request.pull {
            PullPolicy::Always => asked,
            _ => asked.checked_sub(self.settings.lists_age_max).unwrap_or(SystemTime::UNIX_EPOCH),
        };
        let mut entry = match self.fetch(&wanted, oldest, false, reporter) {
            // The lists are older than the mirror: newer ones name what is there now.
            Err(ImageError::Vanished { .. }) => self.fetch(&wanted, SystemTime::now(), true, reporter)?,
            outcome => outcome?,
        };
        if let Some(old) = self.index.read(&key)? {
            entry.references = old.references;
        }
        entry.references.insert(request.reference.clone());
        self.index.write(&key, &entry)?;
        let image = self.image(entry, request);
        reporter.ready(label(&image.source));
        Ok(image)
    }

    /// The stored image, if its layers are all there.
    fn stored(&self, key: &str, request: &Request) -> Result<Option<Image>, ImageError> {
        let Some(mut entry) = self.index.read(key)? else { return Ok(None) };
        if !entry.layers.iter().all(|id| self.layers.is_complete(id)) {
            return Ok(None);
        }
        if entry.references.insert(request.reference.clone()) {
            self.index.write(key, &entry)?;
        }
        Ok(Some(self.image(entry, request)))
    }

    pub(crate) fn image(&self, entry: Entry, request: &Request) -> Image {
        Image {
            reference: request.reference.clone(),
            digest: entry.digest,
            source: entry.source,
            layers: entry.layers.iter().map(|id| self.layers.files(id)).collect(),
            config: entry.config,
        }
    }

    /// Finds out what is needed and builds the layers that are missing.
    fn fetch(
        &self,
        wanted: &Wanted<'_>,
        oldest: SystemTime,
        forced: bool,
        reporter: &Reporter,
    ) -> Result<Entry, ImageError> {
        let lists = self.apt.lists(&wanted.release, oldest, forced, reporter)?;
        let choose = |recipe: &Recipe| -> Result<Vec<String>, ImageError> {
            let chosen = recipe.packages.iter().map(|alternatives| {
                lists.choose(alternatives, wanted.major).ok_or_else(|| ImageError::NoPackage {
                    reference: reporter.reference().to_owned(),
                    wanted: alternatives.clone(),
                    codename: wanted.release.codename.clone(),
                })
            });
            chosen.collect()
        };
        let (base_names, names) = (choose(wanted.base)?, choose(wanted.recipe)?);
        let (base, packages) = {
            let _reading = self.apt.reading()?;
            let base = self.apt.base_plan(&base_names, &lists.generation, reporter)?;
            let packages = if names.is_empty() {
                Vec::new()
            } else {
                self.apt.closure(&names, &wanted.recipe.absent, &base.status, reporter)?
            };
            (base, packages)
        };
        let layers = self.build(wanted, &base, &packages, reporter)?;
        Ok(self.describe(wanted, &names, &base, &packages, layers))
    }

    /// Builds the three layers; the first two side by side.
    fn build(
        &self,
        wanted: &Wanted<'_>,
        base: &BasePlan,
        packages: &[Package],
        reporter: &Reporter,
    ) -> Result<Vec<String>, ImageError> {
        let _in_use = self.downloads.in_use()?;
        let base_id = self.layer_id(&base.packages, &[], &[&wanted.base.fixups_key(None)]);
        let packages_id = self.layer_id(packages, &wanted.recipe.skip, &[]);
        let build_base =
            || self.build_layer(&base_id, &base.packages, &[], Some((wanted.base, None, &[])), reporter);
        let build_packages = || match packages {
            [] => Ok(()),
            packages => self.build_layer(&packages_id, packages, &wanted.recipe.skip, None, reporter),
        };
        thread::scope(|scope| {
            let beside = scope.spawn(build_base);
            let own = build_packages();
            let base = beside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            base.and(own)
        })?;
        let mut ids = vec![base_id];
        if !packages.is_empty() {
            ids.push(packages_id);
        }
        let tag = wanted.reference.tag.as_deref();
        let below: Vec<&str> = ids.iter().map(String::as_str).collect();
        let fixups_id = self.layer_id(
            &[],
            &below.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>(),
            &[&wanted.recipe.fixups_key(tag), &format!("libraries {}", libraries::FORMAT)],
        );
        let lower: Vec<PathBuf> = ids.iter().map(|id| self.layers.files(id)).collect();
        self.build_layer(&fixups_id, &[], &[], Some((wanted.recipe, tag, &lower)), reporter)?;
        ids.push(fixups_id);
        Ok(ids)
    }

    fn build_layer(
        &self,
        id: &str,
        packages: &[Package],
        skip: &[String],
        fixups: Option<(&Recipe, Option<&str>, &[PathBuf])>,
        reporter: &Reporter,
    ) -> Result<(), ImageError> {
        self.layers.build(id, |files: &Path| {
            let tree = Tree::new(files, self.owners_kept);
            if !packages.is_empty() {
                self.downloads.fetch(&self.apt, packages, reporter)?;
                unpack::unpack(&tree, packages, &self.downloads, skip, reporter)?;
            }
            if let Some((recipe, tag, lower)) = fixups {
                fixups::apply(&tree, recipe, tag, lower)?;
            }
            tree.finish().map_err(|source| ImageError::unpack("the layer's directories", source))?;
            Ok(Manifest {
                format: FORMAT,
                owners_kept: self.owners_kept,
                packages: packages.to_vec(),
                bytes: tree.bytes(),
                oci: None,
            })
        })
    }

    /// The name of a layer: a digest of all it is made of.
    fn layer_id(&self, packages: &[Package], settings: &[String], texts: &[&str]) -> String {
        let mut all = format!("{FORMAT} {}\n", self.owners_kept);
        for package in packages {
            let _ = writeln!(all, "{} {} {}", package.name, package.version, package.sha256);
        }
        for text in settings.iter().map(String::as_str).chain(texts.iter().copied()) {
            let _ = writeln!(all, "{}:{text}", text.len());
        }
        short(&hex(all.as_bytes()))
    }

    fn describe(
        &self,
        wanted: &Wanted<'_>,
        names: &[String],
        base: &BasePlan,
        packages: &[Package],
        layers: Vec<String>,
    ) -> Entry {
        let first = names.first();
        let chosen = first
            .and_then(|name| packages.iter().chain(&base.packages).find(|package| package.name == *name));
        let version =
            chosen.map_or(wanted.release.version.clone(), |package| upstream(&package.version).to_owned());
        let config = wanted.config(&version);
        let source = match &wanted.recipe.embedded {
            Some(service) => Source::Embedded {
                service: service.clone(),
                version: OWN_VERSION.to_owned(),
                binary: EMBEDDED_BINARY.to_owned(),
            },
            None => Source::Debian {
                distribution: wanted.release.distribution(),
                package: first.cloned().unwrap_or_else(|| "base-files".to_owned()),
                version,
                stand_in: wanted.recipe.stand_in.clone(),
            },
        };
        let config_text = serde_json::to_string(&config).unwrap_or_default();
        let own = wanted.recipe.embedded.as_ref().map_or("", |_| OWN_VERSION);
        let text = format!("{}\n{config_text}{own}", layers.join("\n"));
        let digest = format!("sha256:{}", hex(text.as_bytes()));
        let bytes = layers.iter().map(|id| self.layers.bytes(id)).sum();
        Entry::new(digest, source, layers, config, bytes, now_seconds())
    }
}

impl<'a> Wanted<'a> {
    /// The recipe for a request, or why none serves.
    fn find(request: &Request, catalog: &'a Catalog) -> Result<Self, ImageError> {
        let reference = Reference::parse(&request.reference)?;
        let refuse = |tried: String, hint: &str| {
            Err(ImageError::NoSource { reference: request.reference.clone(), tried, hint: hint.to_owned() })
        };
        let Some(recipe) = catalog.find(&reference) else {
            return refuse(
                format!("no recipe of the catalog makes {} from packages", reference.repository),
                "use an image that the catalog has a recipe for; the README lists them",
            );
        };
        if let Some(platform) =
            request.platform.as_deref().filter(|platform| !host::is_own_platform(platform))
        {
            return refuse(
                format!("debian: packages are those of this machine, not of {platform}"),
                "drop `platform`",
            );
        }
        let has_majors = recipe.packages.iter().any(|alternatives| alternatives.contains('|'));
        let major = if has_majors { reference.tag_major() } else { None };
        Ok(Self { recipe, base: catalog.base(), release: Release::read()?, major, reference })
    }

    /// What the index knows it by: everything that decides the outcome but the package lists.
    fn key(&self, owners_kept: bool) -> String {
        let tag = self.reference.tag.as_deref();
        let text = format!(
            "{FORMAT}.{} {OWN_VERSION} {owners_kept} {} {:?} {:?}\n{:?}\n{:?}\n{:?}",
            libraries::FORMAT,
            self.release.codename,
            host::architecture(),
            self.major,
            self.recipe,
            self.recipe.variants_of(tag).collect::<Vec<_>>(),
            self.base,
        );
        format!("{}-{}", self.recipe.name().replace('/', "-"), &hex(text.as_bytes())[..16])
    }

    fn config(&self, version: &str) -> ImageConfig {
        let Config {
            entrypoint,
            command,
            environment,
            user,
            sole_user,
            working_dir,
            volumes,
            ports,
            stop_signal,
        } = self.recipe.config.clone();
        let major = version.split('.').next().unwrap_or(version);
        let mut environment = environment;
        let mut ports = ports;
        let mut volumes = volumes;
        for variant in self.recipe.variants_of(self.reference.tag.as_deref()) {
            environment.extend(variant.environment.clone());
            ports.extend(variant.ports.iter().cloned());
            if let Some(others) = &variant.volumes {
                volumes.clone_from(others);
            }
        }
        let tag_major =
            self.reference.tag_major().map_or_else(|| major.to_owned(), |number| number.to_string());
        for (name, value) in &self.base.config.environment {
            environment.entry(name.clone()).or_insert_with(|| value.clone());
        }
        for value in environment.values_mut() {
            *value = value
                .replace("{version}", version)
                .replace("{tag-major}", &tag_major)
                .replace("{major}", major);
        }
        ImageConfig {
            entrypoint,
            command,
            environment,
            user,
            sole_user,
            working_dir,
            volumes: volumes.into_iter().map(|path| ImageVolume { path }).collect(),
            exposed_ports: ports,
            stop_signal,
            ..ImageConfig::default()
        }
    }
}

impl Recipe {
    /// All that its fix-ups are made of, as text.
    fn fixups_key(&self, tag: Option<&str>) -> String {
        let variants: Vec<_> = self.variants_of(tag).map(|variant| &variant.files).collect();
        format!(
            "{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{variants:?}",
            self.users, self.directories, self.links, self.files, self.generate, self.embedded
        )
    }
}

/// How a source is told in a line: `debian 15.18`, `debian 10.11.19 (MariaDB for MySQL)`.
pub(crate) fn label(source: &Source) -> String {
    match source {
        Source::Debian { version, stand_in, .. } => match stand_in {
            Some(stand_in) => format!("debian {version} ({stand_in})"),
            None => format!("debian {version}"),
        },
        Source::Oci => "oci".to_owned(),
        Source::Embedded { service, version, .. } => format!("mesh {service} {version}"),
    }
}

/// Seconds since 1970.
pub(crate) fn now_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |age| age.as_secs())
}

/// The digits of the digest of these bytes.
pub(crate) fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Enough of a digest to name a layer; overlay options have one page for all of an image's paths.
fn short(digest: &str) -> String {
    digest.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut Request), expected: &str) {
        let mut request = Request::new("postgres:16");
        change(&mut request);
        let told = Wanted::find(&request, catalog())
            .map_or_else(|error| error.to_string(), |w| w.recipe.name().to_owned());
        assert!(told.contains(expected), "{told} has no {expected}");
    }

    #[test]
    fn requests_find_a_recipe_or_say_why_not() {
        check(|_| {}, "postgres");
        let digest = format!("docker.io/library/postgres@sha256:{}", "ab".repeat(32));
        check(|r| r.reference = digest, "postgres");
        check(|r| r.reference = "quay.io/prometheus/node-exporter:v1".into(), "prom/node-exporter");
        check(|r| r.platform = Some("linux/none".into()), "not of linux/none");
        check(|r| r.reference = "acme/none".into(), "no recipe of the catalog makes acme/none");
        check(|r| r.reference = "::".into(), "not an image reference");
    }

    #[test]
    fn tags_that_change_nothing_share_an_entry() {
        let key = |reference: &str| Wanted::find(&Request::new(reference), catalog()).unwrap().key(true);
        assert_eq!(key("redis:7"), key("redis:7-alpine"));
        assert_ne!(key("postgres:15"), key("postgres:16"));
        assert_ne!(key("rabbitmq:3"), key("rabbitmq:3-management"));
    }
}
