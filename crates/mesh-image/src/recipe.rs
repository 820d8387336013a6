//! A recipe: how an image is made of packages and a few fix-ups, as its file under `catalog/` says.
//!
//! Each file is checked as a whole when it is read: unknown keys, relative paths, owners that no user
//! or group of the recipe answers to. Names of users and groups that come from the base layer
//! (`root`, `nobody`, `daemon`) are known here by their fixed numbers.

use mesh_oci::reference::tag_major;
use serde::Deserialize;
use std::collections::BTreeMap;

/// How an image is made.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recipe {
    /// Repositories it serves, the first one being its name.
    pub names: Vec<String>,
    /// What it is and where it differs from the image, for the reader.
    pub about: String,
    /// The product that serves in place of another (`MariaDB for MySQL`); nothing: the same product.
    #[serde(default)]
    pub stand_in: Option<String>,
    /// The service inside Mesh's own binary that this image runs. The container sees the binary as
    /// `/usr/local/libexec/mesh`; links give it the product's names.
    #[serde(default)]
    pub embedded: Option<String>,
    /// Packages, each as alternatives with `|` between them, best first. An alternative that ends in
    /// the number the tag asks for goes before the others. The first package gives the version.
    #[serde(default)]
    pub packages: Vec<String>,
    /// Packages whose absence is harmless: their maintainer scripts' tools, optional parts.
    #[serde(default)]
    pub absent: Vec<String>,
    /// Paths of packages left out, as patterns.
    #[serde(default)]
    pub skip: Vec<String>,
    /// Users and their groups.
    #[serde(default)]
    pub users: Vec<User>,
    /// Directories with their owner and mode.
    #[serde(default)]
    pub directories: Vec<Directory>,
    /// Links.
    #[serde(default)]
    pub links: Vec<Link>,
    /// Files written by Mesh.
    #[serde(default)]
    pub files: Vec<File>,
    /// What is to be generated: see [`Generated`].
    #[serde(default)]
    pub generate: Vec<Generated>,
    /// What the image says of its process.
    #[serde(default)]
    pub config: Config,
    /// What certain tags add.
    #[serde(default)]
    pub variants: Vec<Variant>,
}

/// A user with a group of the same name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Name, of the group too.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Id of its group.
    pub gid: u32,
    /// Home directory.
    pub home: String,
    /// Shell; default `/usr/sbin/nologin`.
    #[serde(default)]
    pub shell: Option<String>,
}

/// A directory.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Where.
    pub path: String,
    /// `user` or `user:group`; default root.
    #[serde(default)]
    pub owner: Option<String>,
    /// Mode in octal; default 0755.
    #[serde(default)]
    pub mode: Option<String>,
}

/// A symbolic link, or one for every file that matches.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Where; with `every`, the directory that receives the links.
    pub path: String,
    /// What it points to.
    #[serde(default)]
    pub target: Option<String>,
    /// A pattern: one link per match, named as the match.
    #[serde(default)]
    pub every: Option<String>,
}

/// A file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Where.
    pub path: String,
    /// Content.
    pub content: String,
    /// `user` or `user:group`; default root.
    #[serde(default)]
    pub owner: Option<String>,
    /// Mode in octal; default 0644.
    #[serde(default)]
    pub mode: Option<String>,
}

/// What a layer needs that maintainer scripts would have made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Generated {
    /// `/bin`, `/sbin` and `/lib*` as links into `/usr`, `/var/run` and `/var/lock` as links into `/run`.
    MergedUsr,
    /// `/etc/passwd` and `/etc/group` from the masters of `base-passwd`.
    Accounts,
    /// The bundle of certificate authorities.
    Certificates,
}

/// What the image says of its process, in the words of the OCI image configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Entrypoint.
    #[serde(default)]
    pub entrypoint: Vec<String>,
    /// Command.
    #[serde(default)]
    pub command: Vec<String>,
    /// Environment; `{version}` and `{major}` stand for the first package's upstream version.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// User; nothing: root.
    #[serde(default)]
    pub user: String,
    /// The user its entrypoint steps down to.
    #[serde(default)]
    pub sole_user: Option<String>,
    /// Working directory; nothing: `/`.
    #[serde(default)]
    pub working_dir: String,
    /// Paths that are volumes.
    #[serde(default)]
    pub volumes: Vec<String>,
    /// Ports, as `5432/tcp`.
    #[serde(default)]
    pub ports: Vec<String>,
    /// Signal that asks it to stop.
    #[serde(default)]
    pub stop_signal: Option<String>,
}

/// What a tag adds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Variant {
    /// Text that the tag contains (`management`).
    #[serde(default)]
    pub tag_contains: Option<String>,
    /// Smallest number that the tag starts with (`18`).
    #[serde(default)]
    pub tag_major_min: Option<u32>,
    /// Files, over those of the recipe.
    #[serde(default)]
    pub files: Vec<File>,
    /// Ports besides those of the recipe.
    #[serde(default)]
    pub ports: Vec<String>,
    /// Environment, over that of the recipe; `{tag-major}` stands for the number the tag starts with.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Paths that are volumes, in place of those of the recipe.
    #[serde(default)]
    pub volumes: Option<Vec<String>>,
}

/// Why a recipe is wrong.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// Its file is not what a recipe looks like.
    #[error("it is not a recipe")]
    Syntax(#[from] toml::de::Error),
    /// It serves nothing.
    #[error("it has no name")]
    NoName,
    /// A path is not absolute, or has `..` in it.
    #[error("path {path:?} is not absolute and plain")]
    Path {
        /// The path.
        path: String,
    },
    /// A mode is not octal, or too large.
    #[error("mode {mode:?} of {path} is not octal")]
    Mode {
        /// The mode.
        mode: String,
        /// Of what.
        path: String,
    },
    /// Nobody of that name.
    #[error("owner {owner:?} of {path} is not a user of the recipe")]
    Owner {
        /// The owner.
        owner: String,
        /// Of what.
        path: String,
    },
    /// A variant without a condition would be for every tag.
    #[error("a variant has neither tag-contains nor tag-major-min")]
    Variant,
    /// A link has to have one of `target` and `every`.
    #[error("link {path} needs either target or every")]
    Link {
        /// The link.
        path: String,
    },
}

/// Users of the base layer that recipes name, with their fixed ids (user and group alike).
const BASE_USERS: [(&str, u32); 3] = [("root", 0), ("daemon", 1), ("nobody", 65534)];
/// Highest mode there is.
const MODE_MAX: u32 = 0o7777;

impl Recipe {
    /// Reads a recipe and checks it whole.
    ///
    /// # Errors
    /// When it is not TOML, has unknown keys, or says something that cannot be done.
    pub fn parse(text: &str) -> Result<Self, RecipeError> {
        let recipe: Self = toml::from_str(text)?;
        if recipe.names.is_empty() {
            return Err(RecipeError::NoName);
        }
        for directory in &recipe.directories {
            plain(&directory.path)?;
            recipe.owner(directory.owner.as_deref(), &directory.path)?;
            mode(directory.mode.as_deref(), 0o755, &directory.path)?;
        }
        for file in recipe.files.iter().chain(recipe.variants.iter().flat_map(|v| &v.files)) {
            plain(&file.path)?;
            recipe.owner(file.owner.as_deref(), &file.path)?;
            mode(file.mode.as_deref(), 0o644, &file.path)?;
        }
        for link in &recipe.links {
            plain(&link.path)?;
            if link.target.is_some() == link.every.is_some() {
                return Err(RecipeError::Link { path: link.path.clone() });
            }
        }
        if recipe.variants.iter().any(|it| it.tag_contains.is_none() && it.tag_major_min.is_none()) {
            return Err(RecipeError::Variant);
        }
        Ok(recipe)
    }

    /// The first name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    /// The variants that a tag asks for.
    pub(crate) fn variants_of<'a>(&'a self, tag: Option<&'a str>) -> impl Iterator<Item = &'a Variant> {
        self.variants.iter().filter(move |variant| tag.is_some_and(|tag| variant.is_for(tag)))
    }

    /// User and group id of an owner.
    pub(crate) fn owner(&self, owner: Option<&str>, path: &str) -> Result<(u32, u32), RecipeError> {
        let Some(owner) = owner else { return Ok((0, 0)) };
        let (user, group) = owner.split_once(':').unwrap_or((owner, ""));
        let missing = || RecipeError::Owner { owner: owner.to_owned(), path: path.to_owned() };
        let (uid, own_gid) = self.account(user).ok_or_else(missing)?;
        let gid = if group.is_empty() { own_gid } else { self.account(group).ok_or_else(missing)?.1 };
        Ok((uid, gid))
    }

    fn account(&self, name: &str) -> Option<(u32, u32)> {
        if let Some(user) = self.users.iter().find(|user| user.name == name) {
            return Some((user.uid, user.gid));
        }
        BASE_USERS.iter().find(|(base, _)| *base == name).map(|&(_, id)| (id, id))
    }
}

impl Variant {
    /// Whether the tag meets all of its conditions.
    fn is_for(&self, tag: &str) -> bool {
        let contains = self.tag_contains.as_ref().is_none_or(|text| tag.contains(text));
        let reaches =
            self.tag_major_min.is_none_or(|least| tag_major(tag).is_some_and(|major| major >= least));
        contains && reaches
    }
}

/// The mode in octal, or the default.
pub(crate) fn mode(mode: Option<&str>, default: u32, path: &str) -> Result<u32, RecipeError> {
    let Some(text) = mode else { return Ok(default) };
    match u32::from_str_radix(text, 8) {
        Ok(value) if value <= MODE_MAX => Ok(value),
        _ => Err(RecipeError::Mode { mode: text.to_owned(), path: path.to_owned() }),
    }
}

fn plain(path: &str) -> Result<(), RecipeError> {
    let fine = path
        .strip_prefix('/')
        .is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")));
    if fine { Ok(()) } else { Err(RecipeError::Path { path: path.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let full = format!("names = [\"x\"]\nabout = \"\"\n{text}");
        let told = match Recipe::parse(&full) {
            Ok(_) => "fine".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(told, expected, "{text}");
    }

    #[test]
    fn recipes_are_checked_whole() {
        check("", "fine");
        check("wrong = 1", "it is not a recipe");
        check("[[directories]]\npath = \"a\"", "path \"a\" is not absolute and plain");
        check("[[directories]]\npath = \"/a/../b\"", "path \"/a/../b\" is not absolute and plain");
        check("[[directories]]\npath = \"/a\"\nmode = \"0799\"", "mode \"0799\" of /a is not octal");
        check(
            "[[directories]]\npath = \"/a\"\nowner = \"z\"",
            "owner \"z\" of /a is not a user of the recipe",
        );
        check("[[directories]]\npath = \"/a\"\nowner = \"nobody\"", "fine");
        check("[[links]]\npath = \"/a\"", "link /a needs either target or every");
        check("[[variants]]\nports = []", "a variant has neither tag-contains nor tag-major-min");
    }

    #[test]
    fn a_tag_chooses_its_variants() {
        let text = "names = [\"x\"]\nabout = \"\"\n[[variants]]\ntag-contains = \"web\"\n\
                    [[variants]]\ntag-major-min = 18\n[[variants]]\ntag-contains = \"web\"\ntag-major-min = 18";
        let recipe = Recipe::parse(text).unwrap();
        for (tag, expected) in [
            (None, 0),
            (Some("17"), 0),
            (Some("latest"), 0),
            (Some("17-web"), 1),
            (Some("18.1"), 1),
            (Some("19-web"), 3),
        ] {
            assert_eq!(recipe.variants_of(tag).count(), expected, "{tag:?}");
        }
    }
}
