//! Private keys: listing, naming, deleting, making, bringing in.

use super::{
    certificate::serial_text,
    key::{self, PrivateKey},
    object, pem, role,
    root::key_name,
    store,
};
use crate::{
    logical::{Object, Operation, Refusal, Request, Response},
    storage::Transaction,
};
use serde_json::{Value, json};

/// Shorter texts hold no key; they are likely to be the path of a file.
const KEY_TEXT_MIN: usize = 64;

/// `keys/`.
pub(super) fn list(transaction: &Transaction<'_>) -> Result<Response, Refusal> {
    let default = store::default_key(transaction)?;
    let keys = store::keys(transaction)?;
    if keys.is_empty() {
        return Err(Refusal::NotFound);
    }
    let mut info = Object::new();
    for key in &keys {
        info.insert(key.id.clone(), json!({ "key_name": key.name, "is_default": key.id == default }));
    }
    let mut response = Response::keys(keys.into_iter().map(|key| key.id).collect());
    response.data.get_or_insert_default().insert("key_info".to_owned(), Value::Object(info));
    Ok(response)
}

/// `key/:ref`.
pub(super) fn handle(
    reference: &str,
    request: &Request,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    if request.operation == Operation::Delete {
        return delete(reference, transaction);
    }
    let mut key = store::find_key(transaction, reference)?.map_err(super::failed)?;
    match request.operation {
        Operation::Read => {
            let identifier = serial_text(&key.public()?.identifier());
            let mut data = shown(&key);
            data.insert("subject_key_id".to_owned(), identifier.into());
            Ok(Response::data(data))
        }
        Operation::Create | Operation::Update => {
            let name = request.fields().string("key_name")?.unwrap_or_default();
            if !name.is_empty() && !role::is_name(&name) {
                return Err(Refusal::invalid("new key name outside of valid character limits"));
            }
            if name.eq_ignore_ascii_case(store::DEFAULT) {
                return Err(Refusal::invalid("reserved keyword 'default' can not be used as key name"));
            }
            let others = store::keys(transaction)?;
            if !name.is_empty() && others.iter().any(|other| other.name == name && other.id != key.id) {
                return Err(Refusal::invalid("key name already in use"));
            }
            key.name = name;
            store::put_key(transaction, &key)?;
            let response = Response::data(shown(&key));
            Ok(if key.name.is_empty() {
                response.warn(format!(
                    "Name successfully deleted, you will now need to reference this key by it's Id: {}",
                    key.id
                ))
            } else {
                response
            })
        }
        _ => Err(Refusal::UnsupportedOperation),
    }
}

fn shown(key: &store::Key) -> Object {
    object(json!({ "key_id": key.id, "key_name": key.name, "key_type": key.kind.name() }))
}

fn delete(reference: &str, transaction: &mut Transaction<'_>) -> Result<Response, Refusal> {
    let Ok(key) = store::find_key(transaction, reference)? else { return Ok(Response::empty()) };
    if let Some(issuer) = store::issuers(transaction)?.into_iter().find(|issuer| issuer.key_id == key.id) {
        return Err(Refusal::invalid(format!("Failed to Delete Key.  Key in Use by Issuer: {}", issuer.id)));
    }
    let was_default = store::delete_key(transaction, &key.id)?;
    Ok(if was_default {
        Response::empty().warn(format!(
            "Deleted key {} (via key_ref {reference}); this was configured as the default key. Operations without an \
             explicit key will not work until a new default is configured.",
            key.id
        ))
    } else {
        Response::empty()
    })
}

/// `keys/generate/:type`.
pub(super) fn generate(
    keeping: &str,
    request: &Request,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    let exported = match keeping {
        "internal" => false,
        "exported" => true,
        "kms" => {
            return Err(Refusal::invalid(
                "keys of a key management service are not supported by this server",
            ));
        }
        _ => return Err(Refusal::UnsupportedPath),
    };
    let fields = request.fields();
    let name = key_name(fields, transaction)?;
    let kind = fields.string("key_type")?.unwrap_or_else(|| "rsa".to_owned());
    let (kind, bits, _) = key::specification(&kind, fields.integer("key_bits")?.unwrap_or(0), 0)
        .map_err(|text| Refusal::invalid(format!("Validation for key_type, key_bits failed: {text}")))?;
    let kind = kind
        .ok_or_else(|| Refusal::invalid("Validation for key_type, key_bits failed: unknown key type any"))?;
    let key = PrivateKey::generate(kind, bits)?;
    let (entry, _) = store::import_key(transaction, &key, &name)?;
    let mut data = shown(&entry);
    if exported {
        let (label, native) = key.native()?;
        data.insert("private_key".to_owned(), pem::encode(label, &native).into());
    }
    Ok(Response::data(data))
}

/// `keys/import`.
pub(super) fn import(request: &Request, transaction: &mut Transaction<'_>) -> Result<Response, Refusal> {
    let fields = request.fields();
    let name = key_name(fields, transaction)?;
    let text = fields.string("pem_bundle")?.unwrap_or_default();
    if text.len() < KEY_TEXT_MIN {
        return Err(Refusal::invalid(
            "provided data for import was too short; perhaps a path was passed to the API rather than the contents \
             of a PEM file",
        ));
    }
    let blocks = pem::all(&text)
        .map_err(|number| Refusal::invalid(format!("error when parsing block {number}: invalid PEM data")))?;
    let keys: Vec<_> = blocks.iter().filter(|block| !block.label.starts_with("EC PARAM")).collect();
    let [block] = keys.as_slice() else {
        return Err(Refusal::invalid("only a single key can be present within the pem_bundle for importing"));
    };
    let key = PrivateKey::from_block(block)?;
    let (entry, existed) = store::import_key(transaction, &key, &name)?;
    let response = Response::data(shown(&entry));
    Ok(if existed {
        response.warn("Key already imported, use key/ endpoint to update name.")
    } else {
        response
    })
}
