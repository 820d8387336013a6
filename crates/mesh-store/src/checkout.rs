//! Which directory a project belongs to. Two checkouts whose directories have the same name have the same
//! project's name, and must not be taken for each other.

use mesh_model::project::Project;
use std::path::{Path, PathBuf};

/// Whether two readings of a project are of one checkout: the same directory or the same files; or the
/// directory of the first is gone, so that it was moved.
#[must_use]
pub fn is_same(known: &Project, project: &Project) -> bool {
    let same = |a: &Path, b: &Path| a == b || real(a).is_some_and(|a| real(b) == Some(a));
    let files = known.files.len() == project.files.len() && !known.files.is_empty();
    same(&known.directory, &project.directory)
        || known.directory.try_exists().is_ok_and(|there| !there)
        || (files && known.files.iter().zip(&project.files).all(|(a, b)| a.is_absolute() && same(a, b)))
}

/// What is said of a project that belongs to another directory, and what to do about it.
#[must_use]
pub fn refusal(known: &Project, project: &Project) -> (String, String) {
    let (there, here) = (known.directory.display(), project.directory.display());
    (
        format!("project {} is that of {there}, whose containers are there, and not of {here}", project.name),
        format!(
            "give this one a name of its own with `-p NAME`, or run `mesh down` in {there} first; `--take-over` \
             goes on with those containers"
        ),
    )
}

/// What is said where that project's containers are only shown.
#[must_use]
pub fn notice(known: &Project, project: &Project) -> String {
    let files: Vec<String> = known.files.iter().map(|file| file.display().to_string()).collect();
    let file = if files.is_empty() { String::new() } else { format!(" (file {})", files.join(", ")) };
    format!(
        "what is shown is project {} of {}{file}, and not of {}",
        known.name,
        known.directory.display(),
        project.directory.display()
    )
}

fn real(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(directory: &Path, files: &[&Path]) -> Project {
        Project {
            name: "shop".into(),
            directory: directory.to_owned(),
            files: files.iter().map(|&file| file.to_owned()).collect(),
            services: Default::default(),
            inactive: vec![],
            networks: Default::default(),
            volumes: Default::default(),
            secrets: Default::default(),
            configs: Default::default(),
            substitute: None,
            publishing: Default::default(),
            left_out: Default::default(),
        }
    }

    #[test]
    fn checkouts_are_told_apart_by_directory_and_files() {
        let root = tempfile::tempdir().unwrap();
        let (a, b, link) = (root.path().join("a/shop"), root.path().join("b/shop"), root.path().join("l"));
        std::fs::create_dir_all(&a).unwrap();
        std::fs::create_dir_all(&b).unwrap();
        std::os::unix::fs::symlink(&a, &link).unwrap();
        let file = |directory: &Path| directory.join("compose.yaml");
        std::fs::write(file(&a), "").unwrap();
        let check = |one: (&Path, &Path), other: (&Path, &Path), want: bool| {
            assert_eq!(
                is_same(&project(one.0, &[one.1]), &project(other.0, &[other.1])),
                want,
                "{one:?} {other:?}"
            );
        };
        check((&a, &file(&a)), (&a, &file(&b)), true);
        check((&a, &file(&a)), (&link, &file(&link)), true);
        check((&a, &file(&a)), (&b, &file(&b)), false);
        check((&a, &file(&a)), (&b, &file(&link)), true);
        check((&root.path().join("gone"), Path::new("-")), (&b, &file(&b)), true);
        assert!(!is_same(&project(&a, &[]), &project(&b, &[])));
    }
}
