//! Paths of secrets engines.

use super::{Guide, path};

pub(super) const KV1: Guide = Guide {
    about: "Secrets without versions: what is written at a path is there until it is written or deleted again.",
    paths: &[path(
        "<path...>",
        "GET reads a secret, POST writes it with the body's fields, DELETE deletes it, LIST names what is below.",
    )],
};

pub(super) const KV2: Guide = Guide {
    about: "Secrets with versions: each write makes a version more, and older ones can be read, deleted and brought \
            back.",
    paths: &[
        path("config", "GET reads what holds for all secrets of the mount, POST changes it."),
        path(
            "data/<path...>",
            "GET reads the current version, or the one of the parameter `version`; POST adds a version with the \
             field `data`, PATCH merges `data` into the current one, DELETE deletes the current one.",
        ),
        path(
            "delete/<path...>",
            "POST deletes the versions of the field `versions`; they can be brought back.",
        ),
        path("undelete/<path...>", "POST brings back the deleted versions of the field `versions`."),
        path("destroy/<path...>", "POST destroys the data of the versions of the field `versions` for good."),
        path(
            "metadata/<path...>",
            "GET reads a secret's settings and the list of its versions, POST and PATCH change the settings, DELETE \
             removes the secret with all versions, LIST names what is below.",
        ),
        path(
            "subkeys/<path...>",
            "GET reads the names of a version's fields, down to the parameter `depth`.",
        ),
    ],
};

pub(super) const CUBBYHOLE: Guide = Guide {
    about: "A folder of each token: nobody else reaches it, and it goes with the token.",
    paths: &[path(
        "<path...>",
        "GET reads a secret, POST writes it with the body's fields, DELETE deletes it, LIST names what is below.",
    )],
};

pub(super) const PKI: Guide = Guide {
    about: "A certificate authority: issuers, roles that say what may be issued, certificates, lists of the revoked.",
    paths: &[
        path("acme/<path...>", "ACME is not built in."),
        path("ca", "GET reads the default issuer's certificate in DER; no token is needed."),
        path("ca/pem", "GET reads the default issuer's certificate in PEM; no token is needed."),
        path("ca_chain", "GET reads the default issuer's chain in PEM; no token is needed."),
        path("cert/<serial>", "GET reads a certificate by its serial number; no token is needed."),
        path("cert/<serial>/raw", "GET reads a certificate in DER; no token is needed."),
        path("cert/<serial>/raw/pem", "GET reads a certificate in PEM; no token is needed."),
        path("cert/ca", "GET reads the default issuer's certificate; no token is needed."),
        path("cert/ca_chain", "GET reads the default issuer's chain; no token is needed."),
        path("cert/crl", "GET reads the list of revoked certificates; no token is needed."),
        path("cert/delta-crl", "Delta lists are not built in: there is none."),
        path("certs", "LIST names the serial numbers of stored certificates."),
        path("certs/detailed", "LIST names stored certificates with what is in them."),
        path("certs/revoked", "LIST names the serial numbers of revoked certificates."),
        path("config/auto-tidy", "GET reads what is tidied by itself and when, POST changes it."),
        path("config/ca", "POST imports an issuer: its certificates and its key, in PEM."),
        path("config/cluster", "GET reads the addresses that templates stand for, POST changes them."),
        path("config/crl", "GET reads how lists of revoked certificates are made, POST changes it."),
        path("config/issuers", "GET reads which issuer is the default one, POST changes it."),
        path("config/keys", "GET reads which key is the default one, POST changes it."),
        path("config/urls", "GET reads the addresses that certificates carry, POST changes them."),
        path("crl", "GET reads the list of revoked certificates in DER; no token is needed."),
        path("crl/delta", "Delta lists are not built in: GET answers nothing; no token is needed."),
        path("crl/delta/pem", "Delta lists are not built in: GET answers nothing; no token is needed."),
        path("crl/pem", "GET reads the list of revoked certificates in PEM; no token is needed."),
        path("crl/rotate", "GET makes the lists of revoked certificates anew."),
        path("crl/rotate-delta", "Delta lists are not built in: GET makes nothing."),
        path("intermediate/cross-sign", "POST makes a request for a certificate of a key that is here."),
        path("intermediate/generate/<kind>", "POST makes a key and a request for its certificate."),
        path("intermediate/set-signed", "POST takes the signed certificate of an intermediate authority."),
        path("issue/<role>", "POST makes a key and a certificate as the role allows it."),
        path("issuer/<issuer>", "GET reads an issuer, POST and PATCH change it, DELETE removes it."),
        path(
            "issuer/<issuer>/<form>",
            "GET reads an issuer's certificate as `json`, `der` or `pem`; no token is needed.",
        ),
        path(
            "issuer/<issuer>/crl",
            "GET reads an issuer's list of revoked certificates; no token is needed.",
        ),
        path("issuer/<issuer>/crl/<form>", "GET reads that list as `der` or `pem`; no token is needed."),
        path("issuer/<issuer>/crl/delta", "Delta lists are not built in: there is none."),
        path("issuer/<issuer>/crl/delta/<form>", "Delta lists are not built in: GET answers nothing."),
        path("issuer/<issuer>/issue/<role>", "POST makes a key and a certificate by this issuer."),
        path("issuer/<issuer>/revoke", "POST revokes an issuer: it signs nothing any more."),
        path("issuer/<issuer>/sign-intermediate", "POST signs the request of an authority by this issuer."),
        path("issuer/<issuer>/sign-self-issued", "POST signs a self-issued certificate by this issuer."),
        path("issuer/<issuer>/sign-verbatim", "POST signs a request as it is by this issuer."),
        path(
            "issuer/<issuer>/sign-verbatim/<role>",
            "POST signs a request as it is, within the role's times.",
        ),
        path("issuer/<issuer>/sign/<role>", "POST signs a request as the role allows it, by this issuer."),
        path("issuers", "LIST names the issuers; no token is needed."),
        path("issuers/generate/intermediate/<kind>", "POST makes a key and a request for its certificate."),
        path("issuers/generate/root/<kind>", "POST makes a key and a certificate signed by itself."),
        path("issuers/import/bundle", "POST imports certificates and keys, in PEM."),
        path("issuers/import/cert", "POST imports certificates, in PEM."),
        path("key/<key>", "GET reads what a key is, POST renames it, DELETE removes it."),
        path("keys", "LIST names the keys."),
        path("keys/generate/<kind>", "POST makes a key."),
        path("keys/import", "POST imports a key, in PEM."),
        path("ocsp", "POST answers an OCSP request; no token is needed."),
        path("ocsp/<request...>", "GET answers an OCSP request in base64; no token is needed."),
        path("revoke", "POST revokes a certificate by `serial_number` or `certificate`."),
        path("revoke-with-key", "POST revokes the certificate of a key that the caller shows."),
        path("roles", "LIST names the roles."),
        path("roles/<name>", "GET reads a role, POST and PATCH write it, DELETE deletes it."),
        path("root", "DELETE removes all issuers and keys."),
        path("root/generate/<kind>", "POST makes a key and a certificate signed by itself."),
        path("root/replace", "POST makes another issuer the default one."),
        path("root/rotate/<kind>", "POST makes another root beside the ones there are."),
        path("root/sign-intermediate", "POST signs the request of an authority."),
        path("root/sign-self-issued", "POST signs a self-issued certificate."),
        path("sign-verbatim", "POST signs a request as it is."),
        path("sign-verbatim/<role>", "POST signs a request as it is, within the role's times."),
        path("sign/<role>", "POST signs a request as the role allows it."),
        path("tidy", "POST removes certificates that are over, and what else the fields say."),
        path("tidy-cancel", "POST ends a tidying that is under way."),
        path("tidy-status", "GET reads how the last tidying went."),
    ],
};
