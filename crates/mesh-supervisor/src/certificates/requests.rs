//! What commands ask of certificates: which there are, and new ones.

use super::{Asked, Attended, Certificates, RenewalError, Standing, Subject, Window, renewal};
use crate::{desk::Desk, outlet::Outlet, words};
use futures_util::{StreamExt as _, stream};
use mesh_api::{
    message::{Answer, ApiError, ErrorKind, Level},
    status::{CertificateFacts, CertificateRow, CertificateStanding},
};
use mesh_tls::Facts;

/// Files read at once.
const READS_AT_ONCE_MAX: usize = 8;

impl Certificates {
    /// Those of these services (none: all), as their files are now.
    async fn rows(&self, services: &[String]) -> Vec<CertificateRow> {
        let reads = self.of(services).into_iter().map(|subject| async move {
            let read = renewal::read(&self.runtime, &subject.id, &subject.certificate.file).await;
            self.row(&subject, read)
        });
        stream::iter(reads).buffered(READS_AT_ONCE_MAX).collect().await
    }

    fn of(&self, services: &[String]) -> Vec<Subject> {
        let mut subjects = self.subjects(false);
        subjects.retain(|subject| services.is_empty() || services.contains(&subject.service));
        subjects
    }

    fn row(&self, subject: &Subject, read: Result<Facts, RenewalError>) -> CertificateRow {
        let certificate = &subject.certificate;
        let trouble = self.known().get(&subject.key()).and_then(|known| known.trouble.clone());
        let renews = certificate.renew.is_some();
        let found = read.as_ref().ok().map(|facts| {
            let window = Window::of(facts, certificate.before);
            let turn = if renews { window.turn(&subject.whose()) } else { window.opens };
            (window.at(self.now()), turn)
        });
        CertificateRow {
            name: subject.container.clone(),
            service: subject.service.clone(),
            file: certificate.file.clone(),
            standing: match found {
                None => CertificateStanding::Unreadable,
                Some((Standing::Expired, _)) => CertificateStanding::Expired,
                // While its turn has not come nobody has to do anything.
                Some((Standing::Due, turn)) if turn <= self.now() || trouble.is_some() => {
                    CertificateStanding::Due
                }
                Some(_) => CertificateStanding::Good,
            },
            renewed_from_unix_seconds: found.filter(|_| renews).map(|(_, turn)| turn),
            trouble: trouble.or_else(|| read.as_ref().err().map(|error| words::chain(error))),
            found: read.ok().map(|facts| CertificateFacts {
                subject: facts.subject,
                issuer: facts.issuer,
                names: facts.names,
                serial: facts.serial,
                from_unix_seconds: facts.from_unix_seconds,
                until_unix_seconds: facts.until_unix_seconds,
            }),
        }
    }
}

impl Desk {
    /// The certificates of running services.
    pub(crate) async fn certificates(&self, services: &[String]) -> Result<Answer, ApiError> {
        self.check_services(services)?;
        Ok(Answer::Certificates(self.certificates.rows(services).await))
    }

    /// Renews those whose time has come, or all.
    pub(crate) async fn renew_certificates(
        &self,
        services: &[String],
        force: bool,
        outlet: &Outlet,
    ) -> Result<Answer, ApiError> {
        self.check_services(services)?;
        let mut subjects = self.certificates.of(services);
        subjects.retain(|subject| subject.certificate.renew.is_some());
        if subjects.is_empty() {
            return Err(ApiError {
                hint: Some("declare it with `x-mesh: {certificate: {file: ..., renew: [...]}}`".to_owned()),
                ..words::refusal(ErrorKind::Request, "no certificate of a running service can be renewed")
            });
        }
        let asked = if force { Asked::Forced } else { Asked::ByUser };
        let mut failed = Vec::new();
        for subject in &subjects {
            let (container, file) = (&subject.container, &subject.certificate.file);
            let (level, text) = match self.certificates.attend(subject, asked).await {
                Ok(Attended::Good(_)) => {
                    (Level::Info, format!("{container}: {file} is good, and left as it is"))
                }
                Ok(Attended::Renewed(facts)) => {
                    (Level::Info, format!("{container}: {file} was renewed; its serial is {}", facts.serial))
                }
                Err(error) => {
                    failed.push(container.as_str());
                    (Level::Warning, format!("{container}: {}", words::chain(&error)))
                }
            };
            outlet.note(level, text).await;
        }
        if failed.is_empty() {
            return Ok(Answer::Done);
        }
        let message = format!("the certificates of {} were not renewed", failed.join(", "));
        Err(words::refusal(ErrorKind::Service, message))
    }
}
