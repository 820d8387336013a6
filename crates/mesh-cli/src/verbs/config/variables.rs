//! `--variables`: the variables that the files use, with what the files say of them.

use super::Arguments;
use crate::{
    console,
    context::Context,
    failure::CliError,
    loading::{self, Wanted},
    table,
};
use mesh_compose::VariableUse;
use serde_json::{Map, Value, json, ser::PrettyFormatter};

/// Least width of a column, and the spaces behind it: those of Docker's tools.
const COLUMN_WIDTH_MIN: usize = 20;
const COLUMN_PADDING: usize = 3;

/// Prints them.
pub(super) fn run(context: &Context, arguments: &Arguments) -> Result<u8, CliError> {
    let wanted = Wanted { no_interpolate: true, quiet: true, ..Wanted::default() };
    let uses = loading::load(&context.settings, &context.environment, &wanted)?.variables;
    let format = arguments.format.as_deref().unwrap_or_default();
    let text = match format.to_ascii_lowercase().as_str() {
        "" | "table" | "pretty" => rows(&uses),
        "json" => in_json(&uses)?,
        _ if format == "yaml" && arguments.quiet => String::new(),
        _ if format == "yaml" => mesh_compose::variables_as_yaml(&uses),
        _ => {
            let message = format!("format value {format:?} could not be parsed: parsing failed");
            return Err(CliError::said(message).with_hint("it is table, json or yaml"));
        }
    };
    console::out(&text);
    Ok(0)
}

fn rows(uses: &[VariableUse]) -> String {
    let row = |variable: &VariableUse| {
        vec![
            variable.name.clone(),
            variable.required.to_string(),
            variable.default.clone().unwrap_or_default(),
            variable.alternate.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<Vec<String>> = uses.iter().map(row).collect();
    let header = ["NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"];
    table::aligned(&header, &rows, COLUMN_WIDTH_MIN, COLUMN_PADDING)
}

fn in_json(uses: &[VariableUse]) -> Result<String, CliError> {
    let object = |variable: &VariableUse| {
        let value = json!({
            "Name": variable.name,
            "DefaultValue": variable.default.as_deref().unwrap_or_default(),
            "PresenceValue": variable.alternate.as_deref().unwrap_or_default(),
            "Required": variable.required,
        });
        (variable.name.clone(), value)
    };
    let all = Value::Object(uses.iter().map(object).collect::<Map<String, Value>>());
    let mut bytes = Vec::new();
    let mut serializer =
        serde_json::Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"    "));
    serde::Serialize::serialize(&all, &mut serializer)
        .map_err(|error| CliError::said(format!("could not write variables as JSON: {error}")))?;
    Ok(format!("{}\n\n", String::from_utf8_lossy(&bytes)))
}
