//! Roots that are not ours: of a stack's vault, which signs for the gateways of a project. Certificates alone.
//!
//! Such a root is constrained to no names, as a rule; whoever is asked to trust it is told.

use crate::{Authorities, AuthorityError, certificate, file};
use mesh_redact::Secret;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// A root that somebody else has the key of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    certificate: CertificateDer<'static>,
    project: String,
}

impl Adopted {
    fn read(text: &[u8], project: &str) -> Result<Self, AuthorityError> {
        let wrong = |_| AuthorityError::NotAnAuthority;
        let certificate = CertificateDer::from_pem_slice(text).map_err(wrong)?;
        let is_authority = X509Certificate::from_der(&certificate).is_ok_and(|(_, found)| found.is_ca());
        if !is_authority {
            return Err(AuthorityError::NotAnAuthority);
        }
        Ok(Self { certificate, project: project.to_owned() })
    }

    /// Its certificate as PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        certificate::pem(&self.certificate)
    }

    /// Its certificate.
    #[must_use]
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Whose gateways it vouches for.
    #[must_use]
    pub fn project(&self) -> &str {
        &self.project
    }

    /// Its name, as other programs show it.
    #[must_use]
    pub fn name(&self) -> String {
        crate::root::name_of(&self.certificate).unwrap_or_else(|| format!("the vault of {}", self.project))
    }

    /// A few hexadecimal digits by which it is told from others.
    #[must_use]
    pub fn mark(&self) -> String {
        let parsed = X509Certificate::from_der(&self.certificate);
        parsed.map_or_else(
            |_| String::new(),
            |(_, found)| certificate::mark(found.public_key().subject_public_key.data.as_ref()),
        )
    }

    /// The domains that it is constrained to; `None`: it may speak for all of them.
    #[must_use]
    pub fn domains(&self) -> Option<BTreeSet<String>> {
        let (_, found) = X509Certificate::from_der(&self.certificate).ok()?;
        crate::scope::domains_of(&found)
    }
}

impl Authorities {
    /// Keeps the root of a project's vault; whether it is another one than before.
    ///
    /// # Errors
    /// What is none, and a file that cannot be written.
    pub fn adopt(&self, project: &str, pem: &str) -> Result<bool, AuthorityError> {
        let root = Adopted::read(pem.as_bytes(), project)?;
        if self.adopted(project)?.is_some_and(|before| before.certificate == root.certificate) {
            return Ok(false);
        }
        file::replace(&self.adopted_path(project), &Secret::new(root.pem()))?;
        Ok(true)
    }

    /// The root of a project's vault, where it has one.
    ///
    /// # Errors
    /// A file that cannot be read, or that holds something else.
    pub fn adopted(&self, project: &str) -> Result<Option<Adopted>, AuthorityError> {
        let path = self.adopted_path(project);
        let Some(text) = file::read(&path)? else { return Ok(None) };
        Adopted::read(text.expose(), project).map(Some).map_err(|_| AuthorityError::Torn { path })
    }

    /// Those of all projects; what holds something else is told and left out.
    #[must_use]
    pub fn all_adopted(&self) -> Vec<Adopted> {
        let entries = fs::read_dir(self.adopted_directory()).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut projects: Vec<String> =
            names.filter_map(|name| name.strip_suffix(".pem").map(str::to_owned)).collect();
        projects.sort();
        let load = |project: &String| match self.adopted(project) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(project, %error, "the root of a vault is left out");
                None
            }
        };
        projects.iter().filter_map(load).collect()
    }

    /// Forgets the root of a project's vault, which signs no more.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub fn forget(&self, project: &str) -> Result<(), AuthorityError> {
        let path = self.adopted_path(project);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(AuthorityError::File { attempted: "remove", path, source })
            }
            _ => Ok(()),
        }
    }

    fn adopted_directory(&self) -> PathBuf {
        self.directory().join("vaults")
    }

    fn adopted_path(&self, project: &str) -> PathBuf {
        self.adopted_directory().join(format!("{}.pem", project.replace('/', "_")))
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_of_another_is_kept_without_a_key_and_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let authorities = Authorities::of(directory.path());
        assert!(authorities.adopted("shop").unwrap().is_none() && authorities.all_adopted().is_empty());
        let pem = Authorities::of(&directory.path().join("other")).local().unwrap().pem();
        assert!(authorities.adopt("shop", &pem).unwrap());
        assert!(!authorities.adopt("shop", &pem).unwrap(), "it is the same");
        let found = authorities.adopted("shop").unwrap().unwrap();
        assert_eq!((found.pem(), found.project()), (pem, "shop"));
        assert!(found.name().ends_with(&found.mark()) && found.domains().is_some());
        assert_eq!(authorities.all_adopted(), [found]);
        assert!(authorities.all().unwrap().is_empty(), "it is none of ours");
        let path = directory.path().join("authority/vaults/shop.pem");
        fs::write(&path, "hunter2").unwrap();
        assert!(matches!(authorities.adopted("shop"), Err(AuthorityError::Torn { .. })));
        assert!(authorities.adopt("shop", "hunter2").is_err());
        authorities.forget("shop").unwrap();
        authorities.forget("shop").unwrap();
        assert!(!path.exists());
    }
}
