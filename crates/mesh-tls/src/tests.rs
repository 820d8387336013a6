//! Handshakes between configurations, in memory, and files that change.

use crate::{Client, Identity, Pem, PemError, ServerFiles, Trust, certificates, server};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ClientConnection, Connection, ServerConnection, pki_types::CertificateDer};
use std::{fs, path::PathBuf, sync::Arc};
use tempfile::TempDir;

/// Most turns of a handshake.
const TURNS_MAX: usize = 20;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// A certificate for a name with its key, as two files.
    fn pair(&self, name: &str, host: &str, issuer: &Authority) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![host.to_owned()]).unwrap().signed_by(&key, issuer).unwrap();
        let key = self.write(&format!("{name}.key"), &key.serialize_pem());
        (self.write(&format!("{name}.crt"), &certificate.pem()), key)
    }

    /// A certificate that is its own authority, as `openssl req -x509` makes it.
    fn own(&self, name: &str, host: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let key = self.write(&format!("{name}.key"), &key.serialize_pem());
        (self.write(&format!("{name}.crt"), &certificate.pem()), key)
    }
}

fn files((certificate, key): &(PathBuf, PathBuf)) -> Arc<ServerFiles> {
    Arc::new(ServerFiles::open(certificate.clone(), key.clone()).unwrap())
}

/// Shakes hands; gives the certificate that the server showed, or why nothing came of it.
fn shake(
    client: &Client,
    server: &Arc<rustls::ServerConfig>,
    host: &'static str,
) -> Result<CertificateDer<'static>, String> {
    let config = Arc::new(client.config().map_err(|error| error.to_string())?);
    let client = ClientConnection::new(config, host.try_into().unwrap()).unwrap();
    let (mut client, mut server) =
        (Connection::from(client), ServerConnection::new(server.clone()).unwrap().into());
    for _ in 0..TURNS_MAX {
        carry(&mut client, &mut server)?;
        carry(&mut server, &mut client)?;
        if !client.is_handshaking()
            && !server.is_handshaking()
            && !client.wants_write()
            && !server.wants_write()
        {
            let shown = client.peer_certificates().unwrap_or_default();
            return Ok(shown[0].clone().into_owned());
        }
    }
    Err("no end".to_owned())
}

fn carry(from: &mut Connection, to: &mut Connection) -> Result<(), String> {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).map_err(|error| error.to_string())?;
    }
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        to.read_tls(&mut rest).map_err(|error| error.to_string())?;
        to.process_new_packets().map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[test]
fn a_client_believes_whom_it_was_told_to() {
    let (folder, ours, others) = (Folder::new(), authority(), authority());
    let pair = folder.pair("server", "vault.test", &ours);
    let shown = certificates(&pair.0).unwrap()[0].clone();
    let config = Arc::new(server(files(&pair), None).unwrap());
    let only = |authority: &Authority| Client::trusting(Trust::Only(vec![authority.der().clone()]));
    assert_eq!(shake(&only(&ours), &config, "vault.test"), Ok(shown.clone()));
    let both = Client::trusting(Trust::MachineAnd(vec![ours.der().clone()]));
    assert_eq!(shake(&both, &config, "vault.test"), Ok(shown.clone()));
    assert_eq!(shake(&Client::trusting(Trust::Insecure), &config, "other.test"), Ok(shown));
    for (client, host) in [(only(&others), "vault.test"), (only(&ours), "other.test")] {
        let error = shake(&client, &config, host).unwrap_err();
        assert!(error.contains("invalid peer certificate"), "{error}");
    }
    let error = Client::trusting(Trust::Only(Vec::new())).config().unwrap_err();
    assert!(error.to_string().contains("no certificates"), "{error}");
}

#[test]
fn a_certificate_that_is_its_own_authority_can_be_told() {
    let folder = Folder::new();
    let pair = folder.own("own", "vault.test");
    let config = Arc::new(server(files(&pair), None).unwrap());
    let told = Client::trusting(Trust::Only(certificates(&pair.0).unwrap()));
    assert!(shake(&told, &config, "vault.test").is_ok());
    assert!(shake(&told, &config, "other.test").is_err());
    let other = Client::trusting(Trust::Only(certificates(&folder.own("other", "vault.test").0).unwrap()));
    assert!(shake(&other, &config, "vault.test").is_err());
}

#[test]
fn a_client_shows_its_certificate_where_one_is_wanted() {
    let (folder, authority) = (Folder::new(), authority());
    let pair = folder.pair("server", "vault.test", &authority);
    let roots = folder.write("roots.pem", &authority.pem());
    let (certificate, key) = folder.pair("client", "client.test", &authority);
    let mut client = Client::trusting(Trust::Only(vec![authority.der().clone()]));
    let must = Arc::new(server(files(&pair), Some((&roots, true))).unwrap());
    let may = Arc::new(server(files(&pair), Some((&roots, false))).unwrap());
    assert!(shake(&client, &must, "vault.test").is_err());
    assert!(shake(&client, &may, "vault.test").is_ok());
    client.identity = Some(Identity::read(&certificate, &key).unwrap());
    assert!(shake(&client, &must, "vault.test").is_ok());
    let (certificate, key) = folder.pair("stranger", "client.test", &self::authority());
    client.identity = Some(Identity::read(&certificate, &key).unwrap());
    assert!(shake(&client, &must, "vault.test").is_err());
}

#[test]
fn files_that_change_are_shown_anew() {
    let (folder, authority) = (Folder::new(), authority());
    let client = Client::trusting(Trust::Only(vec![authority.der().clone()]));
    let pair = folder.pair("server", "vault.test", &authority);
    let resolver = files(&pair);
    let config = Arc::new(server(resolver.clone(), None).unwrap());
    let first = shake(&client, &config, "vault.test").unwrap();
    folder.pair("server", "vault.test", &authority);
    resolver.reload().unwrap();
    let second = shake(&client, &config, "vault.test").unwrap();
    assert_ne!(first, second);
    // A key that is not of the certificate changes nothing but the outcome.
    fs::write(&pair.1, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert!(matches!(resolver.reload(), Err(PemError::Pair { .. })));
    assert_eq!(shake(&client, &config, "vault.test").unwrap(), second);
    // Without being told, a handshake finds out.
    folder.pair("server", "vault.test", &authority);
    let began = std::time::Instant::now();
    while shake(&client, &config, "vault.test").unwrap() == second {
        assert!(began.elapsed().as_secs() < 20, "the new files are not seen");
        std::thread::yield_now();
    }
}

#[test]
fn what_is_no_pem_is_told_without_its_content() {
    let (folder, authority) = (Folder::new(), authority());
    let (certificate, key) = folder.pair("server", "vault.test", &authority);
    let text = fs::read_to_string(&certificate).unwrap();
    for (name, bytes, want) in [
        ("empty.crt", "", "there is no certificate in"),
        ("text.crt", "hunter2", "there is no certificate in"),
        ("cut.crt", &text[..100], "is no PEM that can be read"),
        ("key.crt", &fs::read_to_string(&key).unwrap(), "there is no certificate in"),
    ] {
        let error = certificates(&folder.write(name, bytes)).unwrap_err().to_string();
        assert!(error.contains(want) && !error.contains("hunter2"), "{name}: {error}");
    }
    for (given, want) in [
        ("-----BEGIN CERTIFICATE-----", "in the configuration is no PEM that can be read"),
        ("\n-----BEGIN X-----\nAAAA\n-----END X-----", "there is no certificate in the configuration"),
        ("hunter2\nhunter2", "there is no certificate in the configuration"),
        ("/nowhere/a.pem", "could not read /nowhere/a.pem"),
        ("", "could not read "),
    ] {
        let error = Pem::given(given).and_then(|pem| pem.certificates()).unwrap_err().to_string();
        assert!(error.contains(want), "{given}: {error}");
    }
    let given = [&certificate, &key].map(|path| Pem::given(&fs::read_to_string(path).unwrap()).unwrap());
    assert!(Identity::of(&given[0], &given[1]).is_ok());
    assert!(matches!(Identity::of(&given[0], &given[0]), Err(PemError::Nothing { what: "private key", .. })));
    assert_eq!(format!("{:?}", given[1]), "Pem { place: Text, .. }");
    let large = folder.write("large.crt", &"x".repeat((1 << 20) + 1));
    assert!(matches!(certificates(&large), Err(PemError::TooLarge { .. })));
    assert!(matches!(certificates(&folder.0.path().join("none")), Err(PemError::Read { .. })));
    assert!(matches!(
        Identity::read(&certificate, &certificate),
        Err(PemError::Nothing { what: "private key", .. })
    ));
    let identity = Identity::read(&certificate, &key).unwrap();
    assert_eq!(format!("{identity:?}"), "Identity { certificates: 1, .. }");
}
