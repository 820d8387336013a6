//! Settings of the mount: where certificates point to, lists, the default issuer and key.

use super::{
    crl, failed, object,
    store::{self, Issuer, IssuersConfig},
};
use crate::{
    logical::{Context, Fields, Operation, Refusal, Request, Response, parse_duration},
    storage::Transaction,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

const URLS: &str = "config/urls";
const CLUSTER: &str = "config/cluster";
const LISTS: &str = "config/crl";

/// Where certificates point to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Urls {
    pub(super) issuing_certificates: Vec<String>,
    pub(super) crl_distribution_points: Vec<String>,
    pub(super) ocsp_servers: Vec<String>,
    pub(super) enable_templating: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Cluster {
    path: String,
    aia_path: String,
}

impl Urls {
    /// Those of the mount.
    pub(super) fn of_mount(transaction: &Transaction<'_>) -> Result<Self, Refusal> {
        Ok(transaction.get_json(URLS)?.unwrap_or_default())
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.issuing_certificates.is_empty()
            && self.crl_distribution_points.is_empty()
            && self.ocsp_servers.is_empty()
    }

    /// Those of an issuer, the mount's where it has none, with what stands for something filled in.
    pub(super) fn of_issuer(transaction: &Transaction<'_>, issuer: &Issuer) -> Result<Self, Refusal> {
        let urls = match &issuer.urls {
            Some(urls) if !urls.is_empty() => urls.clone(),
            _ => Self::of_mount(transaction)?,
        };
        urls.filled(transaction, &issuer.id)?
            .map_err(|text| failed(format!("unable to fetch AIA URL information: {text}")))
    }

    /// With `{{issuer_id}}`, `{{cluster_path}}` and `{{cluster_aia_path}}` filled in; the inner error says why not.
    pub(super) fn filled(
        &self,
        transaction: &Transaction<'_>,
        issuer_id: &str,
    ) -> Result<Result<Self, String>, Refusal> {
        if !self.enable_templating {
            return Ok(Ok(self.clone()));
        }
        let cluster: Cluster = transaction.get_json(CLUSTER)?.unwrap_or_default();
        let marks = [
            ("{{issuer_id}}", issuer_id),
            ("{{cluster_path}}", cluster.path.as_str()),
            ("{{cluster_aia_path}}", cluster.aia_path.as_str()),
        ];
        let fill = |urls: &[String]| {
            urls.iter().map(|url| filled_url(url, &marks)).collect::<Result<Vec<String>, String>>()
        };
        let all = || {
            Ok(Self {
                issuing_certificates: fill(&self.issuing_certificates)?,
                crl_distribution_points: fill(&self.crl_distribution_points)?,
                ocsp_servers: fill(&self.ocsp_servers)?,
                enable_templating: true,
            })
        };
        Ok(all())
    }

    /// Takes over what a request gives.
    ///
    /// # Errors
    /// For what is no URL.
    pub(super) fn update(&mut self, fields: Fields<'_>, templating: &str) -> Result<(), Refusal> {
        self.enable_templating = fields.boolean(templating)?.unwrap_or(self.enable_templating);
        let checked = !self.enable_templating;
        let lists = [
            ("issuing_certificates", &mut self.issuing_certificates),
            ("crl_distribution_points", &mut self.crl_distribution_points),
            ("ocsp_servers", &mut self.ocsp_servers),
        ];
        for (field, list) in lists {
            if let Some(given) = fields.list(field)? {
                *list = given;
            }
            // Certificates carry URLs as ASCII.
            let bad = list.iter().find(|url| !url.is_ascii() || checked && !is_url(url));
            if let Some(bad) = bad {
                return Err(Refusal::invalid(format!(
                    "invalid URL found in Authority Information Access (AIA) parameter {field}: {bad}"
                )));
            }
        }
        Ok(())
    }
}

fn filled_url(url: &str, marks: &[(&str, &str)]) -> Result<String, String> {
    let mut filled = url.to_owned();
    for (mark, value) in marks {
        if filled.contains(mark) && value.is_empty() {
            return Err(format!(
                "failed to substitute {mark} in {url:?}: it is not set (see config/cluster)"
            ));
        }
        filled = filled.replace(mark, value);
    }
    if is_url(&filled) { Ok(filled) } else { Err(format!("error validating templated URL {filled:?}")) }
}

/// A scheme and a host, and nothing left to be filled in.
fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let scheme_sound = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    scheme_sound
        && !host.is_empty()
        && !text.contains("{{")
        && text.is_ascii()
        && !text.chars().any(|c| c.is_ascii_control() || c == ' ')
}

/// `config/urls`.
pub(super) fn urls(request: &Request, transaction: &mut Transaction<'_>) -> Result<Response, Refusal> {
    let mut urls = Urls::of_mount(transaction)?;
    let mut response = Response::empty();
    if request.operation.writes() {
        urls.update(request.fields(), "enable_templating")?;
        if let Some(issuer) = store::issuers(transaction)?.first()
            && let Err(text) = urls.filled(transaction, &issuer.id)?
        {
            response = response.warn(format!(
                "issuance may fail: {text}\n\nConsider setting the cluster-local address if it is not already set."
            ));
        }
        transaction.put_json(URLS, &urls)?;
    }
    response.data = Some(object(json!({
        "issuing_certificates": urls.issuing_certificates,
        "crl_distribution_points": urls.crl_distribution_points,
        "ocsp_servers": urls.ocsp_servers,
        "enable_templating": urls.enable_templating,
    })));
    Ok(response)
}

/// `config/cluster`.
pub(super) fn cluster(request: &Request, transaction: &mut Transaction<'_>) -> Result<Response, Refusal> {
    let mut cluster: Cluster = transaction.get_json(CLUSTER)?.unwrap_or_default();
    if request.operation.writes() {
        let fields = request.fields();
        if let Some(path) = fields.string("path")? {
            if !is_url(&path) {
                return Err(failed(format!("invalid, non-URL path given to cluster: {path}")));
            }
            cluster.path = path;
        }
        if let Some(path) = fields.string("aia_path")? {
            if !is_url(&path) {
                return Err(failed(format!("invalid, non-URL aia_path given to cluster: {path}")));
            }
            cluster.aia_path = path;
        }
        transaction.put_json(CLUSTER, &cluster)?;
    }
    Ok(Response::data(object(json!({ "path": cluster.path, "aia_path": cluster.aia_path }))))
}

/// How lists of revoked certificates are made.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Lists {
    pub(super) expiry: String,
    pub(super) disable: bool,
    pub(super) ocsp_disable: bool,
    pub(super) ocsp_expiry: String,
    pub(super) auto_rebuild: bool,
    pub(super) auto_rebuild_grace_period: String,
    pub(super) delta_rebuild_interval: String,
    pub(super) allow_expired_cert_revocation: bool,
}

impl Default for Lists {
    fn default() -> Self {
        Self {
            expiry: "72h".to_owned(),
            disable: false,
            ocsp_disable: false,
            ocsp_expiry: "12h".to_owned(),
            auto_rebuild: false,
            auto_rebuild_grace_period: "12h".to_owned(),
            delta_rebuild_interval: "15m".to_owned(),
            allow_expired_cert_revocation: false,
        }
    }
}

impl Lists {
    /// As configured.
    pub(super) fn read(transaction: &Transaction<'_>) -> Result<Self, Refusal> {
        Ok(transaction.get_json(LISTS)?.unwrap_or_default())
    }

    fn update(&mut self, fields: Fields<'_>) -> Result<(), Refusal> {
        let durations = [
            ("expiry", &mut self.expiry),
            ("ocsp_expiry", &mut self.ocsp_expiry),
            ("auto_rebuild_grace_period", &mut self.auto_rebuild_grace_period),
            ("delta_rebuild_interval", &mut self.delta_rebuild_interval),
        ];
        for (field, value) in durations {
            if let Some(given) = fields.string(field)? {
                if parse_duration(&given).is_none() {
                    return Err(Refusal::invalid(format!(
                        "given {field} could not be decoded: time: invalid duration {given:?}"
                    )));
                }
                *value = given;
            }
        }
        let flags = [
            ("disable", &mut self.disable),
            ("ocsp_disable", &mut self.ocsp_disable),
            ("auto_rebuild", &mut self.auto_rebuild),
            ("allow_expired_cert_revocation", &mut self.allow_expired_cert_revocation),
        ];
        for (field, value) in flags {
            *value = fields.boolean(field)?.unwrap_or(*value);
        }
        for field in
            ["enable_delta", "cross_cluster_revocation", "unified_crl", "unified_crl_on_existing_paths"]
        {
            if fields.boolean(field)? == Some(true) {
                return Err(Refusal::invalid(format!("{field} is not supported by this server")));
            }
        }
        if self.auto_rebuild
            && parse_duration(&self.auto_rebuild_grace_period) >= parse_duration(&self.expiry)
        {
            return Err(Refusal::invalid(format!(
                "CRL auto-rebuilding grace period ({}) must be strictly shorter than CRL expiry ({}) value when \
                 auto-rebuilding of CRLs is enabled",
                self.auto_rebuild_grace_period, self.expiry
            )));
        }
        Ok(())
    }
}

/// `config/crl`.
pub(super) fn lists(
    request: &Request,
    context: &Context,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    let mut config = Lists::read(transaction)?;
    let mut warnings = Vec::new();
    if request.operation.writes() {
        let before = config.clone();
        config.update(request.fields())?;
        transaction.put_json(LISTS, &config)?;
        if before.disable != config.disable || before.auto_rebuild && !config.auto_rebuild {
            warnings = crl::rebuild(transaction, context.now, true)?;
        }
    }
    let data = json!({
        "expiry": config.expiry,
        "disable": config.disable,
        "ocsp_disable": config.ocsp_disable,
        "ocsp_expiry": config.ocsp_expiry,
        "auto_rebuild": config.auto_rebuild,
        "auto_rebuild_grace_period": config.auto_rebuild_grace_period,
        "enable_delta": false,
        "delta_rebuild_interval": config.delta_rebuild_interval,
        "allow_expired_cert_revocation": config.allow_expired_cert_revocation,
        "cross_cluster_revocation": false,
        "unified_crl": false,
        "unified_crl_on_existing_paths": false,
    });
    Ok(Response { warnings, ..Response::data(object(data)) })
}

/// What is said where the default issuer cannot sign.
const NO_KEY: &str = "This selected default issuer has no key associated with it. Some operations like issuing \
                      certificates and signing CRLs will be unavailable with the requested default issuer until a \
                      key is imported or the default issuer is changed.";

/// `config/issuers` and `root/replace`, whose default issuer is the one named `next`.
pub(super) fn issuers(
    request: &Request,
    transaction: &mut Transaction<'_>,
    fallback: Option<&str>,
) -> Result<Response, Refusal> {
    let mut config = store::issuers_config(transaction)?;
    let mut response = Response::empty();
    if request.operation.writes() {
        let fields = request.fields();
        let reference = fields.string("default")?.or_else(|| fallback.map(str::to_owned)).unwrap_or_default();
        if reference.is_empty() || reference == store::DEFAULT {
            return Err(Refusal::invalid(
                "Invalid issuer specification; must be non-empty and can't be 'default'.",
            ));
        }
        let issuer = store::find_issuer(transaction, &reference)?
            .map_err(|text| Refusal::invalid(format!("Error resolving issuer reference: {text}")))?;
        let follows = fields.boolean("default_follows_latest_issuer")?.filter(|_| fallback.is_none());
        config = IssuersConfig {
            default: issuer.id,
            default_follows_latest_issuer: follows.unwrap_or(config.default_follows_latest_issuer),
        };
        store::put_issuers_config(transaction, &config)?;
        if issuer.key_id.is_empty() {
            response = response.warn(NO_KEY);
        }
    }
    response.data = Some(object(json!({
        "default": config.default,
        "default_follows_latest_issuer": config.default_follows_latest_issuer,
    })));
    Ok(response)
}

/// `config/keys`.
pub(super) fn keys(request: &Request, transaction: &mut Transaction<'_>) -> Result<Response, Refusal> {
    if request.operation.writes() {
        let reference = request.fields().string("default")?.unwrap_or_default();
        if reference.is_empty() || reference == store::DEFAULT {
            return Err(Refusal::invalid(
                "Invalid key specification; must be non-empty and can't be 'default'.",
            ));
        }
        let key = store::find_key(transaction, &reference)?
            .map_err(|text| Refusal::invalid(format!("Error resolving issuer reference: {text}")))?;
        store::set_default_key(transaction, &key.id)?;
    }
    Ok(Response::data(object(json!({ "default": store::default_key(transaction)? }))))
}

/// Refuses what is no reading and no writing.
pub(super) fn read_or_write(operation: Operation) -> Result<(), Refusal> {
    match operation {
        Operation::Read | Operation::Create | Operation::Update => Ok(()),
        _ => Err(Refusal::UnsupportedOperation),
    }
}

#[cfg(test)]
mod tests {
    use super::{filled_url, is_url};

    #[test]
    fn urls_have_a_scheme_and_a_host() {
        for sound in ["http://127.0.0.1:8200/v1/pki/ca", "ldap://h/cn=x?y", "https://a"] {
            assert!(is_url(sound), "{sound}");
        }
        for wrong in
            ["", "a", "http://", "://a", "1http://a", "http:///x", "http://{{issuer_id}}", "http://a b"]
        {
            assert!(!is_url(wrong), "{wrong}");
        }
    }

    #[test]
    fn marks_are_filled_in() {
        let marks = [("{{issuer_id}}", "7"), ("{{cluster_path}}", "")];
        assert_eq!(filled_url("http://h/{{issuer_id}}", &marks).unwrap(), "http://h/7");
        assert!(filled_url("{{cluster_path}}/x", &marks).is_err());
    }
}
