//! One piece of progress as one line.

use crate::{
    console::{Style, inert, styled},
    words,
};
use mesh_api::message::{Action, ImageStage, Level, ObjectKind, Progress};
use mesh_model::image::LayerStage;

/// The line for a log: no counters that change all the time.
pub(super) fn plain(progress: &Progress, colour: bool) -> String {
    match progress {
        Progress::Note { level, text } => note(*level, text, colour),
        Progress::Said { source, line } => format!("{source} | {}", inert(line)),
        Progress::Image { stage: ImageStage::Layer { layer, step, bytes_total, .. }, .. } => match step {
            LayerStage::Downloading => {
                format!(" {layer}  Downloading {}", words::decimal_bytes(*bytes_total))
            }
            step => format!(" {layer}  {}", layer_words(*step)),
        },
        Progress::Image { reference, stage, .. } => format!(" Image {reference}  {}", stage_words(stage)),
        Progress::Object { object, name, action, detail, elapsed_ms, .. } => {
            let mut line = format!(" {} {name}  {}", kind(*object), action_words(*action, detail.as_deref()));
            if ends(*action) && *elapsed_ms > 0 {
                line.push_str(&format!("  {}", words::short(*elapsed_ms)));
            }
            line
        }
    }
}

/// Whether something belongs into a log: of a layer its beginning and its end do.
pub(super) fn is_worth_a_line(progress: &Progress) -> bool {
    let Progress::Image { stage: ImageStage::Layer { step, .. }, .. } = progress else { return true };
    matches!(step, LayerStage::Downloading | LayerStage::Complete | LayerStage::Present)
}

/// A stage of a layer in Docker's words.
pub(super) fn layer_words(step: LayerStage) -> &'static str {
    match step {
        LayerStage::Waiting => "Waiting",
        LayerStage::Downloading => "Downloading",
        LayerStage::Downloaded => "Download complete",
        LayerStage::Extracting => "Extracting",
        LayerStage::Complete => "Pull complete",
        LayerStage::Present => "Already exists",
    }
}

/// Whether nothing more comes of a layer.
pub(super) fn layer_ends(step: LayerStage) -> bool {
    matches!(step, LayerStage::Complete | LayerStage::Present)
}

/// A note with its weight.
pub(super) fn note(level: Level, text: &str, colour: bool) -> String {
    match level {
        Level::Info => format!("{} {text}", styled("note:", Style::Hint, colour)),
        Level::Warning => format!("{} {text}", styled("warning:", Style::Warning, colour)),
    }
}

/// A stage of an image in words.
pub(super) fn stage_words(stage: &ImageStage) -> String {
    match stage {
        ImageStage::Resolving { detail } if detail.is_empty() => "Resolving".to_owned(),
        ImageStage::Resolving { detail } => format!("Resolving ({detail})"),
        ImageStage::Downloading { bytes_total: 0, .. } => "Downloading".to_owned(),
        ImageStage::Downloading { bytes_total, .. } => {
            format!("Downloading {}", words::decimal_bytes(*bytes_total))
        }
        ImageStage::Layer { step, .. } => layer_words(*step).to_owned(),
        ImageStage::Failed => "Error".to_owned(),
        ImageStage::LeftOut => "Left out (no source)".to_owned(),
        ImageStage::Unpacking { total: 0, .. } => "Unpacking".to_owned(),
        ImageStage::Unpacking { total, .. } => format!("Unpacking {total}"),
        ImageStage::Ready { source } => format!("Ready ({source})"),
    }
}

/// An action with its detail: `Created (debian 15.18)`, `Waiting for db to be healthy`.
pub(super) fn action_words(action: Action, detail: Option<&str>) -> String {
    match (action, detail) {
        (Action::Waiting, Some(detail)) => words::waiting(detail),
        (action, Some(detail)) => format!("{action:?} ({detail})"),
        (action, None) => format!("{action:?}"),
    }
}

/// The word for a kind of object.
pub(super) fn kind(object: ObjectKind) -> &'static str {
    match object {
        ObjectKind::Network => "Network",
        ObjectKind::Volume => "Volume",
        ObjectKind::Container => "Container",
        ObjectKind::Service => "Service",
    }
}

/// Whether nothing more is expected of the object after this action.
pub(super) fn ends(action: Action) -> bool {
    match action {
        Action::Creating
        | Action::Recreating
        | Action::Starting
        | Action::Waiting
        | Action::Restarting
        | Action::Stopping
        | Action::Killing
        | Action::Pausing
        | Action::Unpausing
        | Action::Removing => false,
        Action::Created
        | Action::Recreated
        | Action::Started
        | Action::Running
        | Action::Healthy
        | Action::Completed
        | Action::Stopped
        | Action::Killed
        | Action::Paused
        | Action::Unpaused
        | Action::Removed
        | Action::Exited
        | Action::Failed => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(progress: Progress, want: &str) {
        assert_eq!(plain(&progress, false), want);
    }

    #[test]
    fn lines_read_as_compose_s() {
        let object = |action, detail: Option<&str>, elapsed_ms| Progress::Object {
            object: ObjectKind::Container,
            name: "hub-db-1".to_owned(),
            service: Some("db".to_owned()),
            action,
            detail: detail.map(str::to_owned),
            elapsed_ms,
        };
        check(object(Action::Creating, None, 5), " Container hub-db-1  Creating");
        check(object(Action::Healthy, None, 731), " Container hub-db-1  Healthy  0.73s");
        check(object(Action::Waiting, Some("waiting for x"), 0), " Container hub-db-1  Waiting for x");
        check(object(Action::Created, Some("debian 7.0"), 0), " Container hub-db-1  Created (debian 7.0)");
        let image = |stage| Progress::Image { reference: "redis:7".to_owned(), services: Vec::new(), stage };
        check(
            image(ImageStage::Downloading { bytes: 5, bytes_total: 7_000_000 }),
            " Image redis:7  Downloading 7MB",
        );
        let layer = |step| {
            let (layer, bytes, bytes_total) = ("a1b2".to_owned(), 5, 7_000_000);
            image(ImageStage::Layer { layer, step, bytes, bytes_total })
        };
        check(layer(LayerStage::Downloading), " a1b2  Downloading 7MB");
        check(layer(LayerStage::Complete), " a1b2  Pull complete");
        assert!(!is_worth_a_line(&layer(LayerStage::Extracting)));
        check(
            image(ImageStage::Ready { source: "debian 7.0".to_owned() }),
            " Image redis:7  Ready (debian 7.0)",
        );
        check(Progress::Note { level: Level::Warning, text: "no limits".to_owned() }, "warning: no limits");
    }
}
