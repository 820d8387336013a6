//! What a recipe adds to its packages: accounts, directories, links, files, and what maintainer
//! scripts would have generated.

use super::{
    accounts, libraries,
    place::{MERGED, MOVED, place},
    tree::{Attributes, Tree},
};
use crate::{
    error::{ImageError, UnpackError},
    pattern,
    recipe::{self, File, Generated, Link, Recipe},
};
use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

/// Most bytes of a file of a lower layer that is read whole.
const READ_BYTES_MAX: u64 = 4 << 20;
/// Most matches of one pattern.
const MATCHES_MAX: usize = 10_000;

/// Where a container of an embedded service sees Mesh's own binary. A layer has an empty file there, for the ground
/// to mount the binary over: an image stays as it is while the binary is built anew.
pub(crate) const EMBEDDED_BINARY: &str = "/usr/local/libexec/mesh";

/// Applies a recipe to a tree. `lower` are the layers below, lowest first; the tree itself, which may
/// hold the packages already, counts as the highest of them.
pub(crate) fn apply(
    tree: &Tree,
    recipe: &Recipe,
    tag: Option<&str>,
    lower: &[PathBuf],
) -> Result<(), ImageError> {
    let work =
        Work { tree, recipe, layers: lower.iter().map(PathBuf::as_path).chain([tree.root()]).collect() };
    for generated in &recipe.generate {
        match generated {
            Generated::MergedUsr => work.merged_usr()?,
            Generated::Accounts => work.master_accounts()?,
            Generated::Certificates => work.certificates()?,
        }
    }
    if !recipe.users.is_empty() {
        work.rewrite("etc/passwd", |base| accounts::passwd(base, &recipe.users))?;
        work.rewrite("etc/group", |base| accounts::group(base, &recipe.users))?;
    }
    for directory in &recipe.directories {
        let said = |source| work.wrong(source);
        let owner = recipe.owner(directory.owner.as_deref(), &directory.path).map_err(said)?;
        let mode = recipe::mode(directory.mode.as_deref(), 0o755, &directory.path).map_err(said)?;
        if let Some(path) = work.place(&directory.path)? {
            work.written(tree.directory(&path, Attributes::new(owner, mode)))?;
        }
    }
    for link in &recipe.links {
        work.link(link)?;
    }
    if recipe.embedded.is_some()
        && let Some(path) = work.place(EMBEDDED_BINARY)?
    {
        work.write(&path, b"", (0, 0), 0o755)?;
    }
    for file in recipe.files.iter().chain(recipe.variants_of(tag).flat_map(|variant| &variant.files)) {
        work.file(file)?;
    }
    // Above the packages: the base is no image by itself.
    match lower {
        [] => Ok(()),
        _ => work.library_cache(),
    }
}

struct Work<'a> {
    tree: &'a Tree,
    recipe: &'a Recipe,
    layers: Vec<&'a Path>,
}

impl Work<'_> {
    fn written<T>(&self, outcome: Result<T, UnpackError>) -> Result<T, ImageError> {
        outcome.map_err(|source| ImageError::unpack(self.recipe.name(), source))
    }

    fn wrong(&self, source: recipe::RecipeError) -> ImageError {
        ImageError::Recipe { recipe: self.recipe.name().to_owned(), source }
    }

    fn place(&self, path: &str) -> Result<Option<String>, ImageError> {
        self.written(place(path, false))
    }

    fn write(&self, path: &str, content: &[u8], owner: (u32, u32), mode: u32) -> Result<(), ImageError> {
        self.written(self.tree.file(path, &mut &*content, Attributes::new(owner, mode)))
    }

    fn file(&self, file: &File) -> Result<(), ImageError> {
        let said = |source| self.wrong(source);
        let owner = self.recipe.owner(file.owner.as_deref(), &file.path).map_err(said)?;
        let mode = recipe::mode(file.mode.as_deref(), 0o644, &file.path).map_err(said)?;
        match self.place(&file.path)? {
            Some(path) => self.write(&path, file.content.as_bytes(), owner, mode),
            None => Ok(()),
        }
    }

    fn link(&self, link: &Link) -> Result<(), ImageError> {
        let Some(path) = self.written(place(&link.path, false))? else { return Ok(()) };
        if let Some(target) = &link.target {
            return self.written(self.tree.link(&path, target));
        }
        let Some(every) = &link.every else { return Ok(()) };
        for found in self.matching(every) {
            let name = found.rsplit('/').next().unwrap_or_default();
            self.written(self.tree.link(&format!("{path}/{name}"), &format!("/{found}")))?;
        }
        Ok(())
    }

    fn merged_usr(&self) -> Result<(), ImageError> {
        for name in ["bin", "sbin", "lib"] {
            self.written(self.tree.directory(&format!("usr/{name}"), Attributes::new((0, 0), 0o755)))?;
        }
        for name in MERGED {
            let target = format!("usr/{name}");
            if self.tree.root().join(&target).is_dir() {
                self.written(self.tree.link(name, &target))?;
            }
        }
        for (old, new) in MOVED {
            self.written(self.tree.directory(new, Attributes::new((0, 0), 0o755)))?;
            self.written(self.tree.link(old, &format!("/{new}")))?;
        }
        Ok(())
    }

    fn master_accounts(&self) -> Result<(), ImageError> {
        for name in ["passwd", "group"] {
            let master = self.read(&format!("usr/share/base-passwd/{name}.master"))?;
            self.write(&format!("etc/{name}"), accounts::closed(&master).as_bytes(), (0, 0), 0o644)?;
        }
        Ok(())
    }

    /// One bundle for those that read one, under each of its usual names.
    fn certificates(&self) -> Result<(), ImageError> {
        let mut bundle = String::new();
        for path in self.matching("usr/share/ca-certificates/mozilla/*.crt") {
            bundle.push_str(&self.read(&path)?);
            if !bundle.ends_with('\n') {
                bundle.push('\n');
            }
        }
        self.write("etc/ssl/certs/ca-certificates.crt", bundle.as_bytes(), (0, 0), 0o644)?;
        for name in ["usr/lib/ssl/cert.pem", "etc/ssl/cert.pem"] {
            self.written(self.tree.link(name, "/etc/ssl/certs/ca-certificates.crt"))?;
        }
        Ok(())
    }

    fn library_cache(&self) -> Result<(), ImageError> {
        match libraries::cache(&self.layers) {
            Some(cache) => self.write(libraries::PATH, &cache, (0, 0), 0o644),
            None => Ok(()),
        }
    }

    fn rewrite(&self, path: &str, change: impl Fn(&str) -> String) -> Result<(), ImageError> {
        let base = self.read(path)?;
        self.write(path, change(&base).as_bytes(), (0, 0), 0o644)
    }

    /// The text of a file in the highest layer that has it; empty when none has.
    fn read(&self, path: &str) -> Result<String, ImageError> {
        for layer in self.layers.iter().rev() {
            let at = layer.join(path);
            if at.symlink_metadata().is_ok_and(|data| data.is_file()) {
                let mut text = String::new();
                let read =
                    fs::File::open(&at).and_then(|file| file.take(READ_BYTES_MAX).read_to_string(&mut text));
                read.map_err(|source| ImageError::io("read", &at, source))?;
                return Ok(text);
            }
        }
        Ok(String::new())
    }

    /// Files of any layer that match, sorted.
    fn matching(&self, wanted: &str) -> Vec<String> {
        let mut found: Vec<String> =
            self.layers.iter().flat_map(|layer| matching_below(layer, wanted)).collect();
        found.sort();
        found.dedup();
        found
    }
}

/// Paths below a root that match, found component by component.
fn matching_below(root: &Path, wanted: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    for component in wanted.trim_matches('/').split('/') {
        let mut next = Vec::new();
        for base in &found {
            let Ok(entries) = fs::read_dir(root.join(base)) else { continue };
            let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
            next.extend(
                names
                    .filter(|name| pattern::matches(component, name))
                    .map(|name| if base.is_empty() { name } else { format!("{base}/{name}") }),
            );
        }
        next.truncate(MATCHES_MAX);
        found = next;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_is_applied_over_its_packages() {
        let lower = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let at = lower.path().join(path);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::write(at, text).unwrap();
        };
        put("etc/passwd", "root:*:0:0:root:/root:/bin/bash\n");
        put("etc/group", "root:*:0:\n");
        put("usr/lib/db/9/bin/tool", "");
        let text = r#"
            names = ["db"]
            about = ""
            [[users]]
            name = "db"
            uid = 999
            gid = 999
            home = "/"
            [[directories]]
            path = "/var/run/db"
            owner = "db"
            mode = "2775"
            [[links]]
            path = "/usr/local/bin"
            every = "usr/lib/db/*/bin/*"
            [[files]]
            path = "/bin/entry"
            mode = "0755"
            content = "x"
            [[variants]]
            tag-contains = "extra"
            files = [{ path = "/etc/extra", content = "y" }]
        "#;
        let recipe = Recipe::parse(text).unwrap();
        let root = tempfile::tempdir().unwrap();
        let tree = Tree::new(root.path(), false);
        apply(&tree, &recipe, Some("1-extra"), &[lower.path().to_owned()]).unwrap();
        tree.finish().unwrap();
        let read = |path: &str| fs::read_to_string(root.path().join(path)).unwrap();
        assert!(read("etc/passwd").contains("root:") && read("etc/passwd").contains("db:*:999:999::/:"));
        assert_eq!((read("usr/bin/entry").as_str(), read("etc/extra").as_str()), ("x", "y"));
        assert!(root.path().join("run/db").is_dir());
        assert_eq!(
            fs::read_link(root.path().join("usr/local/bin/tool")).unwrap(),
            Path::new("/usr/lib/db/9/bin/tool")
        );
    }
}
