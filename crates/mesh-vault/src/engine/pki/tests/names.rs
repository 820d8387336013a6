//! Roles' rules about names, and that nothing gets around them.

use super::{Folder, der, issue, post, text, with_role};
use crate::{
    engine::pki::{certificate::Certificate, extension, general_name::Names, subject::Parts},
    logical::Operation,
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Asks with a role, and compares what is said: the empty text stands for a certificate.
fn check(role: Value, cases: &[(Value, &str)]) {
    let mut mount = with_role(role.clone());
    for (asked, expected) in cases {
        let said = issue(&mut mount, asked.clone()).err().unwrap_or_default();
        assert_eq!(&said, expected, "{role} {asked}");
    }
}

#[test]
fn names_are_refused_in_vaults_words() {
    check(
        json!({"allowed_domains": "example.com", "allow_subdomains": true}),
        &[
            (json!({"common_name": "a.example.com"}), ""),
            (json!({"common_name": "*.example.com"}), ""),
            (json!({"common_name": "example.com"}), "common name example.com not allowed by this role"),
            (
                json!({"common_name": "a.example.com", "alt_names": "b.example.com,evil.org"}),
                "subject alternate name evil.org not allowed by this role",
            ),
            (
                json!({"common_name": "a.example.com", "alt_names": "root@evil.org"}),
                "email address root@evil.org not allowed by this role",
            ),
            (
                json!({"common_name": "a.example.com", "ip_sans": "x"}),
                "the value \"x\" is not a valid IP address",
            ),
            (
                json!({"common_name": "a.example.com", "uri_sans": "http://x"}),
                "URI Subject Alternative Names are not allowed in this role, but were provided via the API",
            ),
            (
                json!({"common_name": "a.example.com", "other_sans": "1.2.3;utf8:x"}),
                "other SAN OID 1.2.3 not allowed by this role",
            ),
            (
                json!({"common_name": "a.example.com", "other_sans": "1.2.3;bmp:x"}),
                "could not parse requested other SAN: only utf8 other SANs are supported; found non-supported type in \
                 other SAN \"1.2.3;bmp:x\"",
            ),
            (
                json!({"common_name": "a.example.com", "serial_number": "1"}),
                "serial_number 1 not allowed by this role",
            ),
            (
                json!({"common_name": "a.example.com", "user_ids": "u"}),
                "user_id u is not allowed by this role",
            ),
            (
                json!({}),
                "the common_name field is required, or must be provided in a CSR with \"use_csr_common_name\" set to \
                 true, unless \"require_cn\" is set to false",
            ),
        ],
    );
}

#[test]
fn what_a_role_allows_is_let_through() {
    check(
        json!({
            "allowed_domains": ["example.com"], "allow_bare_domains": true, "allowed_uri_sans": "spiffe://a/*",
            "allowed_other_sans": "1.2.3;utf8:a*", "allowed_serial_numbers": "7*", "allowed_user_ids": "bob",
            "allowed_ip_sans_cidr": "10.0.0.0/8", "require_cn": false,
        }),
        &[
            (
                json!({"common_name": "example.com", "uri_sans": "spiffe://a/b", "other_sans": "1.2.3;UTF-8:ab"}),
                "",
            ),
            (json!({"common_name": "u@example.com", "serial_number": "71", "user_ids": "BOB"}), ""),
            (json!({"ip_sans": "10.1.1.1"}), ""),
            (json!({"ip_sans": "11.1.1.1"}), "the IP address \"11.1.1.1\" is not allowed in this role"),
            (
                json!({"ip_sans": "::ffff:11.1.1.1"}),
                "the IP address \"11.1.1.1\" is not allowed in this role",
            ),
            (
                json!({"uri_sans": "spiffe://b/b"}),
                "URI Subject Alternative Names were provided via the API which are not valid for this role",
            ),
            (json!({"other_sans": "1.2.3;utf8:b"}), "other SAN b not allowed for OID 1.2.3 by this role"),
        ],
    );
    check(
        json!({"allow_any_name": true, "allow_ip_sans": false, "cn_validations": "hostname"}),
        &[
            (json!({"common_name": "x.y"}), ""),
            (json!({"common_name": "u@x.y"}), "common name u@x.y not allowed by this role"),
            (
                json!({"common_name": "x.y", "ip_sans": "1.1.1.1"}),
                "IP Subject Alternative Names are not allowed in this role, but was provided via the API",
            ),
        ],
    );
    check(
        json!({"cn_validations": "disabled"}),
        &[(json!({"common_name": "Anything At All!", "exclude_cn_from_sans": true}), "")],
    );
}

#[test]
fn lives_are_bounded() {
    check(
        json!({"allow_any_name": true, "max_ttl": "2h", "ttl": "1h"}),
        &[
            (json!({"common_name": "a.b", "ttl": "100h"}), ""),
            (
                json!({"common_name": "a.b", "ttl": "1h", "not_after": "2024-01-01T00:00:00Z"}),
                "Either ttl or not_after should be provided. Both should not be provided in the same request.",
            ),
            (
                json!({"common_name": "a.b", "not_after": "2050-01-01T00:00:00Z"}),
                "cannot satisfy request, as TTL would result in notAfter of 2050-01-01T00:00:00Z that is beyond the \
                 expiration of the CA certificate at 2023-12-16T22:13:20Z",
            ),
            (
                json!({"common_name": "a.b", "not_after": "2020-01-01T00:00:00Z"}),
                "The certificate's Not Before (2023-11-14T22:12:50Z) is later than the certificate's Not After \
                 (2020-01-01T00:00:00Z)",
            ),
        ],
    );
    let mut mount = with_role(json!({"allow_any_name": true, "max_ttl": "2h"}));
    let answer =
        mount.ask(Operation::Update, "issue/r", json!({"common_name": "a.b", "ttl": "100h"})).unwrap();
    let expected = "TTL \"100h0m0s\" is longer than permitted maxTTL \"2h0m0s\", so maxTTL is being used";
    assert_eq!(answer.warnings, [expected]);
    assert_eq!(answer.data.unwrap()["expiration"], 1_700_000_000 + 7_200);
    mount.write("issuer/default", json!({"leaf_not_after_behavior": "truncate"}));
    let issued =
        issue(&mut mount, json!({"common_name": "a.b", "not_after": "2050-01-01T00:00:00Z"})).unwrap();
    assert_eq!(issued["expiration"], 1_700_000_000 + 2_764_800);
    mount.write("roles/r", json!({"allow_any_name": true, "key_type": "ec", "not_after_bound": "forbid"}));
    let said =
        issue(&mut mount, json!({"common_name": "a.b", "not_after": "2024-01-01T00:00:00Z"})).unwrap_err();
    assert_eq!(said, "not_after_bound is set to forbid. not_after cannot be provided.");
    mount.write(
        "roles/r",
        json!({"allow_any_name": true, "key_type": "ec", "not_after_bound": "ttl-limited", "ttl": "1h"}),
    );
    let said =
        issue(&mut mount, json!({"common_name": "a.b", "not_after": "2023-12-01T00:00:00Z"})).unwrap_err();
    assert!(said.starts_with("not_after_bound is set to ttl-limited. Cannot satisfy"), "{said}");
}

/// Every name in a certificate: host names, addresses and the rest apart.
fn names_in(certificate: &Certificate) -> (Vec<String>, Names) {
    let subject = Parts::parse(&certificate.subject).unwrap();
    let names = extension::find(&certificate.extensions, extension::SUBJECT_ALTERNATIVE_NAME)
        .map(|extension| Names::parse(&extension.value).unwrap())
        .unwrap_or_default();
    let mut hosts: Vec<String> = names.dns.iter().chain(&names.emails).cloned().collect();
    hosts.push(subject.common_name());
    hosts.retain(|host| !host.is_empty());
    (hosts, names)
}

/// A certificate of a role for subdomains of example.com has no other names in it.
fn nothing_else(certificate: &Certificate) {
    let (hosts, names) = names_in(certificate);
    for host in hosts {
        let host = host.rsplit('@').next().unwrap().to_owned();
        let sound = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.*".contains(&byte));
        assert!(host.ends_with(".example.com") || host == "*.example.com", "{host}");
        assert!(sound || !host.is_ascii(), "{host:?}");
    }
    assert!(names.uris.is_empty() && names.others.is_empty() && names.ips.is_empty(), "{names:?}");
    assert_eq!(certificate.authority(), None);
}

/// Pieces of which bad names are made.
fn name() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("example.com"),
        Just(".example.com"),
        Just("evil.org"),
        Just("*"),
        Just("*."),
        Just("."),
        Just("@"),
        Just("a"),
        Just("-"),
        Just("_"),
        Just(","),
        Just(" "),
        Just("\0"),
        Just("\n"),
        Just("xn--"),
        Just("é"),
        Just("。"),
        Just("．"),
        Just("%00"),
        Just("EXAMPLE.COM"),
        Just("\u{202e}"),
        Just("/"),
        Just(";"),
        Just("localhost"),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_name_gets_around_a_role(common in name(), alternative in name(), address in name(), strict in any::<bool>()) {
        // One mount for all cases would be quicker, and would hide what one case leaves behind.
        let mut mount = fixed_mount(strict);
        let asked = json!({"common_name": common, "alt_names": alternative, "uri_sans": address, "other_sans": address});
        if let Ok(issued) = issue(&mut mount, asked) {
            let certificate = Certificate::parse(&der(&issued["certificate"])).unwrap();
            let (hosts, names) = names_in(&certificate);
            for host in hosts {
                let host = host.rsplit('@').next().unwrap().to_owned();
                // Names are the same in any case (RFC 4343).
                prop_assert!(host.to_ascii_lowercase().ends_with(".example.com"), "{host:?}");
                prop_assert!(!strict || host.chars().all(|c| c.is_ascii_alphanumeric() || "-.*".contains(c) || !c.is_ascii()));
            }
            prop_assert!(names.uris.is_empty() && names.others.is_empty());
        }
    }

    #[test]
    fn no_bytes_make_the_readers_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Certificate::parse(&bytes);
        let _ = crate::engine::pki::key::PrivateKey::from_der(&bytes);
        let _ = crate::engine::pki::certificate::CertificateRequest::parse(&bytes);
        let _ = Names::parse(&bytes);
        let _ = Parts::parse(&bytes);
        let _ = extension::parse_basic_constraints(&bytes);
    }
}

fn fixed_mount(strict: bool) -> crate::engine::testing::Mount<super::Pki> {
    with_role(json!({
        "allowed_domains": "example.com", "allow_subdomains": true, "require_cn": false, "allow_localhost": false,
        "enforce_hostnames": strict,
    }))
}

/// A certificate of ours with one byte changed never makes the readers panic, and is not what it was.
#[test]
fn a_changed_byte_is_found() {
    let mut mount = fixed_mount(true);
    let issued = issue(&mut mount, json!({"common_name": "a.example.com"})).unwrap();
    let issuer = Certificate::parse(&der(&issued["issuing_ca"])).unwrap();
    let good = der(&issued["certificate"]);
    assert!(Certificate::parse(&good).unwrap().signed_by(&issuer));
    for at in 0..good.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            if let Ok(certificate) = Certificate::parse(&bad) {
                assert!(!certificate.signed_by(&issuer), "byte {at}");
            }
        }
    }
}

/// Requests with names that the role does not allow, in places where they could be overlooked.
#[test]
fn requests_bring_in_nothing_that_is_not_allowed() {
    let folder = Folder::new();
    let mut mount = fixed_mount(true);
    folder.openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key.pem"]);
    let names = [
        ("DNS:a.example.com", true),
        ("DNS:a.example.com,DNS:evil.org", false),
        ("email:root@evil.org", false),
        ("IP:1.2.3.4", true),
        ("URI:http://evil.org", false),
        ("otherName:1.2.3;UTF8:evil.org", false),
        ("otherName:1.2.3;IA5STRING:evil.org", false),
        ("RID:1.2.3", true),
        ("dirName:dir", true),
        ("DNS:*.*.example.com", false),
        ("DNS:a.example.com.", false),
    ];
    for (san, allowed) in names {
        let config = format!(
            "[req]\ndistinguished_name=dn\nreq_extensions=ext\nprompt=no\n[dn]\nCN=b.example.com\n[dir]\nCN=evil.org\n\
             [ext]\nsubjectAltName={san}\nbasicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n"
        );
        folder.put("req.cnf", config);
        folder.openssl(&["req", "-new", "-key", "key.pem", "-config", "req.cnf", "-out", "req.pem"]);
        let csr = String::from_utf8(folder.get("req.pem")).unwrap();
        let signed = post(&mut mount, "sign/r", json!({"csr": csr}));
        assert_eq!(signed.is_ok(), allowed, "{san}: {signed:?}");
        if let Ok(signed) = signed {
            let certificate = Certificate::parse(&der(&signed["certificate"])).unwrap();
            let mut checked = certificate.clone();
            if san.starts_with("IP") {
                checked.extensions.retain(|known| known.oid != extension::SUBJECT_ALTERNATIVE_NAME);
            }
            nothing_else(&checked);
            let shown = folder.text(text(&signed["certificate"]));
            assert!(!shown.contains("evil") && !shown.contains("Certificate Sign"), "{shown}");
            folder.verify(text(&signed["issuing_ca"]), "", text(&signed["certificate"]));
        }
    }
}
