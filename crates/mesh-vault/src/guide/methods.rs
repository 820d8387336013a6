//! Paths of auth methods.

use super::{Guide, path};

pub(super) const APPROLE: Guide = Guide {
    about: "Logins of services: a role's identifier, and a secret identifier where the role asks for one.",
    paths: &[
        path("login", "POST logs in by `role_id` and `secret_id`; no token is needed."),
        path("role", "LIST names the roles."),
        path("role/<name>", "GET reads a role, POST writes it, DELETE deletes it."),
        path(
            "role/<name>/<setting>",
            "GET reads one setting of a role, POST changes it, DELETE sets it back.",
        ),
        path("role/<name>/custom-secret-id", "POST adds a secret identifier that the caller has chosen."),
        path("role/<name>/role-id", "GET reads the role's identifier, POST changes it."),
        path(
            "role/<name>/secret-id",
            "POST makes a secret identifier, LIST names the accessors of those there are.",
        ),
        path("role/<name>/secret-id-accessor/destroy", "POST destroys a secret identifier by its accessor."),
        path(
            "role/<name>/secret-id-accessor/lookup",
            "POST tells what a secret identifier is by its accessor.",
        ),
        path("role/<name>/secret-id/destroy", "POST destroys a secret identifier."),
        path("role/<name>/secret-id/lookup", "POST tells what a secret identifier is."),
        path("tidy/secret-id", "POST removes secret identifiers that are over."),
    ],
};

pub(super) const USERPASS: Guide = Guide {
    about: "Logins of people: a name and a password.",
    paths: &[
        path("login/<name>", "POST logs in by `password`; no token is needed."),
        path("users", "LIST names the users."),
        path("users/<name>", "GET reads a user, POST writes one, DELETE deletes one."),
        path("users/<name>/password", "POST changes the password."),
        path("users/<name>/policies", "POST changes the policies."),
    ],
};

pub(super) const TOKEN: Guide = Guide {
    about: "Tokens: they are made by others, form a tree, and end with their time, their uses or their parent.",
    paths: &[
        path("accessors", "LIST names the accessors of all tokens."),
        path("create", "POST makes a token, a child of the one that asks."),
        path("create-orphan", "POST makes a token without a parent."),
        path("create/<role>", "POST makes a token within the bounds of a role."),
        path("lookup", "POST tells what a token is; the field is `token`."),
        path("lookup-accessor", "POST tells what a token is by its accessor."),
        path("lookup-self", "GET tells what the token is that asks."),
        path("renew", "POST prolongs a token; the fields are `token` and `increment`."),
        path("renew-accessor", "POST prolongs a token by its accessor."),
        path("renew-self", "POST prolongs the token that asks."),
        path("revoke", "POST revokes a token and all its children."),
        path("revoke-accessor", "POST revokes a token and all its children by its accessor."),
        path("revoke-orphan", "POST revokes a token; its children become orphans."),
        path("revoke-self", "POST revokes the token that asks and all its children."),
        path("roles", "LIST names the roles."),
        path("roles/<name>", "GET reads a role, POST writes it, DELETE deletes it."),
        path("tidy", "POST removes what tokens have left behind."),
    ],
};
