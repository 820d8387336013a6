"""What hvac's users do, against the server at VAULT_ADDR. The first word says which part."""

import json
import os
import sys

import hvac
from hvac import exceptions

ADDRESS = os.environ["VAULT_ADDR"]
KEYS = os.environ["VAULT_KEYS_FILE"]


def client(token=None):
    return hvac.Client(url=ADDRESS, token=token)


def root():
    with open(KEYS) as file:
        return client(json.load(file)["root_token"])


def refused(kind, call, **arguments):
    try:
        call(**arguments)
    except kind as error:
        return str(error)
    raise AssertionError(f"{call} with {arguments} should have been refused")


def init():
    vault = client()
    assert not vault.sys.is_initialized()
    result = vault.sys.initialize(secret_shares=5, secret_threshold=3)
    assert len(result["keys"]) == 5 and len(result["keys_base64"]) == 5
    with open(os.open(KEYS, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:
        json.dump(result, file)
    assert vault.sys.is_initialized() and vault.sys.is_sealed()
    refused(exceptions.InvalidRequest, vault.sys.initialize, secret_shares=5, secret_threshold=3)
    unseal()


def unseal():
    vault = client()
    with open(KEYS) as file:
        keys = json.load(file)["keys"]
    vault.sys.submit_unseal_key(keys[0])
    vault.sys.submit_unseal_key(keys[0])
    assert vault.sys.read_seal_status()["progress"] == 1, "the same share counts once"
    vault.sys.submit_unseal_keys(keys[1:3])
    assert not vault.sys.is_sealed()


def mounts():
    vault = root()
    vault.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
    vault.sys.enable_secrets_engine("kv", path="old", options={"version": "1"})
    refused(exceptions.InvalidRequest, vault.sys.enable_secrets_engine, backend_type="kv", path="old")
    listed = vault.sys.list_mounted_secrets_engines()["data"]
    assert listed["secret/"]["options"] == {"version": "2"} and listed["old/"]["type"] == "kv"
    vault.sys.move_backend("old", "older")
    vault.secrets.kv.v1.create_or_update_secret("a/b", {"k": "v", "ttl": "1h"}, mount_point="older")
    read = vault.secrets.kv.v1.read_secret("a/b", mount_point="older")
    assert read["data"]["k"] == "v" and read["lease_duration"] == 3600 and read["lease_id"] == ""
    assert vault.secrets.kv.v1.list_secrets("", mount_point="older")["data"]["keys"] == ["a/"]
    vault.sys.tune_mount_configuration("older", options={"version": "2"})
    assert vault.secrets.kv.v2.read_secret_version("a/b", mount_point="older")["data"]["metadata"]["version"] == 1
    vault.sys.disable_secrets_engine("older")
    refused(exceptions.InvalidPath, vault.secrets.kv.v2.read_secret_version, path="a/b", mount_point="older")


def kv():
    vault = root()
    kv2 = vault.secrets.kv.v2
    assert kv2.create_or_update_secret("app/db", {"user": "u", "password": "1"})["data"]["version"] == 1
    kv2.create_or_update_secret("app/db", {"user": "u", "password": "2"}, cas=1)
    stale = refused(exceptions.InvalidRequest, kv2.create_or_update_secret, path="app/db", secret={}, cas=1)
    assert "check-and-set parameter did not match the current version" in stale
    kv2.patch("app/db", {"password": "3"})
    assert kv2.read_secret_version("app/db")["data"]["data"] == {"user": "u", "password": "3"}
    assert kv2.read_secret_version("app/db", version=1)["data"]["data"]["password"] == "1"
    kv2.delete_latest_version_of_secret("app/db")
    refused(exceptions.InvalidPath, kv2.read_secret_version, path="app/db")
    deleted = kv2.read_secret_version("app/db", raise_on_deleted_version=False)["data"]
    assert deleted["data"] is None and deleted["metadata"]["deletion_time"]
    kv2.undelete_secret_versions("app/db", [3])
    kv2.destroy_secret_versions("app/db", [1, 2])
    kv2.update_metadata("app/db", max_versions=3, custom_metadata={"owner": "x"})
    facts = kv2.read_secret_metadata("app/db")["data"]
    assert facts["versions"]["1"]["destroyed"] and not facts["versions"]["3"]["destroyed"]
    assert facts["custom_metadata"] == {"owner": "x"} and facts["max_versions"] == 3
    assert kv2.list_secrets("app")["data"]["keys"] == ["db"]
    kv2.delete_metadata_and_all_versions("app/db")
    refused(exceptions.InvalidPath, kv2.read_secret_metadata, path="app/db")


def policies():
    vault = root()
    rules = 'path "secret/data/app/*" { capabilities = ["read"] }\npath "secret/data/app/no" { capabilities = ["deny"] }'
    vault.sys.create_or_update_policy("app", rules)
    assert vault.sys.read_policy("app")["data"]["rules"] == rules
    assert "app" in vault.sys.list_policies()["data"]["policies"]
    for name in ("a", "no"):
        vault.secrets.kv.v2.create_or_update_secret(f"app/{name}", {"k": "v"})
    reader = client(vault.auth.token.create(policies=["app"], ttl="1h")["auth"]["client_token"])
    reader.secrets.kv.v2.read_secret_version("app/a")
    for path in ("app/no", "other", "app/../other"):
        refused((exceptions.Forbidden, exceptions.InvalidPath, exceptions.InvalidRequest), reader.secrets.kv.v2.read_secret_version, path=path)
    refused(exceptions.Forbidden, reader.secrets.kv.v2.create_or_update_secret, path="app/a", secret={})
    refused(exceptions.Forbidden, reader.sys.list_mounted_secrets_engines)


def tokens():
    vault = root()
    made = vault.auth.token.create(policies=["default"], ttl="1h", meta={"a": "b"})["auth"]
    own = client(made["client_token"])
    facts = own.auth.token.lookup_self()["data"]
    assert facts["policies"] == ["default"] and facts["meta"] == {"a": "b"} and 3500 < facts["ttl"] <= 3600
    assert own.auth.token.renew_self(increment="30m")["auth"]["lease_duration"] == 1800
    child = own.auth.token
    refused(exceptions.Forbidden, child.create)
    assert vault.auth.token.lookup_accessor(made["accessor"])["data"]["id"] == ""
    once = client(vault.auth.token.create(num_uses=1)["auth"]["client_token"])
    once.auth.token.lookup_self()
    refused(exceptions.Forbidden, once.auth.token.lookup_self)
    own.write_data("cubbyhole/mine", data={"k": "v"})
    assert own.read("cubbyhole/mine")["data"] == {"k": "v"}
    assert vault.read("cubbyhole/mine") is None
    vault.auth.token.revoke_accessor(made["accessor"])
    refused(exceptions.Forbidden, own.auth.token.lookup_self)


def approle():
    vault = root()
    vault.sys.enable_auth_method("approle")
    roles = vault.auth.approle
    roles.create_or_update_approle("app", token_policies=["app"], token_ttl="10m", token_max_ttl="20m")
    role_id = roles.read_role_id("app")["data"]["role_id"]
    made = roles.generate_secret_id("app", metadata={"team": "x"})["data"]
    login = client().auth.approle.login(role_id, made["secret_id"])["auth"]
    assert login["metadata"] == {"role_name": "app", "team": "x"} and login["lease_duration"] == 600
    assert sorted(login["policies"]) == ["app", "default"]
    service = client(login["client_token"])
    service.secrets.kv.v2.read_secret_version("app/a")
    service.auth.token.renew_self()
    assert made["secret_id_accessor"] in roles.list_secret_id_accessors("app")["data"]["keys"]
    roles.destroy_secret_id("app", made["secret_id"])
    wrong = refused(exceptions.InvalidRequest, client().auth.approle.login, role_id=role_id, secret_id=made["secret_id"])
    assert "invalid role or secret ID" in wrong
    limited = vault.write_data("auth/approle/role/app/secret-id", data={"num_uses": 1})["data"]["secret_id"]
    client().auth.approle.login(role_id, limited)
    refused(exceptions.InvalidRequest, client().auth.approle.login, role_id=role_id, secret_id=limited)
    bound = vault.write_data("auth/approle/role/app/secret-id", data={"cidr_list": "10.1.2.0/24"})["data"]["secret_id"]
    refused(exceptions.InvalidRequest, client().auth.approle.login, role_id=role_id, secret_id=bound)
    roles.delete_role("app")
    refused(exceptions.InvalidPath, roles.read_role, role_name="app")


def userpass():
    vault = root()
    vault.sys.enable_auth_method("userpass")
    users = vault.auth.userpass
    users.create_or_update_user("bob", password="right", policies="app")
    assert client().auth.userpass.login("bob", "right")["auth"]["metadata"] == {"username": "bob"}
    for name, password in (("bob", "wrong"), ("eve", "right")):
        said = refused(exceptions.InvalidRequest, client().auth.userpass.login, username=name, password=password)
        assert "invalid username or password" in said
    users.update_password_on_user("bob", "new")
    client().auth.userpass.login("bob", "new")
    assert users.list_user()["data"]["keys"] == ["bob"]
    users.delete_user("bob")
    refused(exceptions.InvalidPath, users.read_user, username="bob")


def wrapping():
    vault = root()
    wrapped = vault.read("secret/data/app/a", wrap_ttl="60s")["wrap_info"]
    assert wrapped["creation_path"] == "secret/data/app/a"
    assert client(wrapped["token"]).sys.unwrap()["data"]["data"] == {"k": "v"}
    refused((exceptions.InvalidRequest, exceptions.Forbidden), client(wrapped["token"]).sys.unwrap)


def pki():
    vault = root()
    for path in ("pki", "pki_int"):
        vault.sys.enable_secrets_engine("pki", path=path, config={"max_lease_ttl": "87600h"})
    authority = vault.secrets.pki
    top = authority.generate_root("internal", "Root", extra_params={"ttl": "87600h", "key_type": "ec", "key_bits": 256})
    asked = authority.generate_intermediate("internal", "Intermediate", mount_point="pki_int", extra_params={"key_type": "ec", "key_bits": 256})
    signed = authority.sign_intermediate(asked["data"]["csr"], "Intermediate", extra_params={"ttl": "43800h"})
    authority.set_signed_intermediate(signed["data"]["certificate"], mount_point="pki_int")
    limits = {"allowed_domains": "app", "allow_bare_domains": True, "max_ttl": "720h", "key_type": "ec", "key_bits": 256}
    authority.create_or_update_role("app-role", limits, mount_point="pki_int")
    issued = authority.generate_certificate("app-role", "app", mount_point="pki_int", extra_params={"ttl": "24h"})["data"]
    assert issued["private_key"].startswith("-----BEGIN") and issued["ca_chain"]
    refused(exceptions.InvalidRequest, authority.generate_certificate, name="app-role", common_name="other", mount_point="pki_int")
    assert issued["serial_number"] in authority.list_certificates(mount_point="pki_int")["data"]["keys"]
    authority.revoke_certificate(issued["serial_number"], mount_point="pki_int")
    assert authority.read_ca_certificate() == top["data"]["certificate"]


def stack():
    """What a stack's entry points need: a service with a role, a policy, credentials, and a role for certificates."""
    vault = root()
    service, folder = os.environ["SERVICE"], os.environ["VAULT_APPROLE_DIR"]
    vault.secrets.kv.v2.create_or_update_secret(service, {"user": "admin", "password": os.environ["EXPECTED"], "tls_enabled": True})
    rules = f'path "secret/data/{service}" {{ capabilities = ["read"] }}\npath "pki_int/issue/{service}-role" {{ capabilities = ["create", "update"] }}'
    vault.sys.create_or_update_policy(f"{service}-policy", rules)
    vault.auth.approle.create_or_update_approle(f"{service}-role", token_policies=[f"{service}-policy"], secret_id_ttl="720h")
    limits = {"allowed_domains": service, "allow_bare_domains": True, "max_ttl": "720h", "key_type": "rsa", "key_bits": 2048}
    vault.secrets.pki.create_or_update_role(f"{service}-role", limits, mount_point="pki_int")
    os.makedirs(f"{folder}/{service}")
    made = vault.auth.approle.generate_secret_id(f"{service}-role")["data"]["secret_id"]
    role_id = vault.auth.approle.read_role_id(f"{service}-role")["data"]["role_id"]
    for name, value in (("role-id", role_id), ("secret-id", made)):
        with open(f"{folder}/{service}/{name}", "w") as file:
            file.write(value)


def write(first, last):
    """Writes until it is stopped, and says after each what was acknowledged."""
    vault = root()
    for number in range(int(first), int(last)):
        vault.secrets.kv.v2.create_or_update_secret(f"many/{number}", {"n": number})
        print(number, flush=True)


def check(last):
    """What was acknowledged is there."""
    vault = root()
    for number in range(int(last) + 1):
        assert vault.secrets.kv.v2.read_secret_version(f"many/{number}")["data"]["data"] == {"n": number}


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")
    globals()[sys.argv[1]](*sys.argv[2:])
