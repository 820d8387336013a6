//! One piece of progress as a JSON document, in the shape of `docker compose --progress json`.

use super::line;
use mesh_api::message::{Action, ImageStage, Level, Progress};
use serde_json::{Map, Value};

/// The document on one line. What is empty is left out.
pub(super) fn document(progress: &Progress, rehearsal: bool) -> String {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| drop(object.insert(key.to_owned(), value));
    if rehearsal {
        put("dry-run", true.into());
    }
    match progress {
        Progress::Note { level, text } => {
            put("status", if *level == Level::Warning { "Warning" } else { "Done" }.into());
            put("text", text.as_str().into());
        }
        Progress::Said { source, line } => {
            put("id", source.as_str().into());
            put("text", line.as_str().into());
        }
        Progress::Image { reference, stage, .. } => {
            let image = format!("Image {reference}");
            match stage {
                ImageStage::Layer { layer, .. } => {
                    put("id", layer.as_str().into());
                    put("parent_id", image.into());
                }
                _ => put("id", image.into()),
            }
            let status = match stage {
                ImageStage::Ready { .. } | ImageStage::LeftOut => "Done",
                ImageStage::Layer { step, .. } if line::layer_ends(*step) => "Done",
                ImageStage::Failed => "Error",
                _ => "Working",
            };
            put("status", status.into());
            put("text", line::stage_words(stage).into());
            let (done, total) = match stage {
                ImageStage::Downloading { bytes, bytes_total }
                | ImageStage::Layer { bytes, bytes_total, .. } => (*bytes, *bytes_total),
                ImageStage::Unpacking { done, total } => (u64::from(*done), u64::from(*total)),
                ImageStage::Resolving { .. }
                | ImageStage::Ready { .. }
                | ImageStage::Failed
                | ImageStage::LeftOut => (0, 0),
            };
            if total > 0 {
                put("current", done.into());
                put("total", total.into());
                put("percent", (done.min(total).saturating_mul(100) / total).into());
            }
        }
        Progress::Object { object: kind, name, action, detail, .. } => {
            put("id", format!("{} {name}", line::kind(*kind)).into());
            let status = match action {
                Action::Failed => "Error",
                action if line::ends(*action) => "Done",
                _ => "Working",
            };
            put("status", status.into());
            put("text", format!("{action:?}").into());
            if let Some(detail) = detail {
                put("details", detail.as_str().into());
            }
        }
    }
    Value::Object(object).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_api::message::ObjectKind;

    #[test]
    fn documents_have_the_peer_s_keys() {
        let progress = Progress::Object {
            object: ObjectKind::Container,
            name: "hub-db-1".to_owned(),
            service: Some("db".to_owned()),
            action: Action::Started,
            detail: None,
            elapsed_ms: 3,
        };
        let plain = r#"{"id":"Container hub-db-1","status":"Done","text":"Started"}"#;
        let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(value(&document(&progress, false)), value(plain));
        assert_eq!(value(&document(&progress, true))["dry-run"], true);
        let stage = ImageStage::Downloading { bytes: 1, bytes_total: 4 };
        let image = Progress::Image { reference: "redis:7".to_owned(), services: Vec::new(), stage };
        assert_eq!(value(&document(&image, false))["percent"], 25);
    }
}
