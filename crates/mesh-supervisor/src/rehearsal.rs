//! Telling what would be done, without doing it.

use crate::{
    desk::Desk,
    images::{ImageOverrides, Images},
    outlet::{Outlet, Output},
    up::{graph_error, tell_orphans},
};
use mesh_api::{
    message::{Action, Answer, ApiError, ImageStage, ObjectKind, Progress},
    options::CreateOptions,
};
use mesh_model::{
    image::{Image, ImageConfig, Source},
    project::{Project, WhenNoSource},
    service::PullPolicy,
};
use mesh_plan::{
    graph,
    outline::{Deed, Line, Object, outline},
};
use std::collections::{BTreeMap, BTreeSet};

impl Desk {
    /// Tells what making and, with `start`, starting the project would do.
    pub(crate) async fn rehearse(
        &self,
        project: &Project,
        options: &CreateOptions,
        start: bool,
        outlet: &Outlet,
    ) -> Result<Answer, ApiError> {
        self.check_name(project)?;
        let mut project = project.clone();
        self.choose_ports(&mut project, options.ports).await;
        let project = &project;
        let chosen = graph::select(project, &options.services, options.no_deps).map_err(graph_error)?;
        graph::levels(project, &chosen).map_err(graph_error)?;
        let images = self.stored_images(project, &chosen, options, outlet).await;
        let plan = self.plan(project, options, &images, outlet).await?;
        if !options.ignore_orphans {
            tell_orphans(plan.orphans.iter().map(|orphan| orphan.name.as_str()), outlet).await;
        }
        for line in outline(&plan, project, start) {
            tell(&line, outlet).await;
        }
        Ok(Answer::Done)
    }

    /// The images as they are stored. One that is not would be fetched, and stands here without content.
    async fn stored_images(
        &self,
        project: &Project,
        chosen: &BTreeSet<String>,
        options: &CreateOptions,
        outlet: &Outlet,
    ) -> BTreeMap<String, Image> {
        let mut images = BTreeMap::new();
        for name in chosen {
            let one = BTreeSet::from([name.clone()]);
            let overrides = ImageOverrides { pull: Some(PullPolicy::Never), substitute: options.substitute };
            if let Ok(Images { by_service: found, .. }) = self.images(project, &one, overrides, outlet).await
            {
                images.extend(found);
                continue;
            }
            let reference = project.services.get(name).and_then(|service| service.image.clone());
            let reference = reference.unwrap_or_default();
            let detail = match project.services.get(name).map(|service| service.when_no_source) {
                Some(WhenNoSource::Skip) => {
                    "it is not stored; its service is left out where nothing serves it"
                }
                _ => "it is not stored",
            };
            let stage = ImageStage::Resolving { detail: detail.to_owned() };
            let services = vec![name.clone()];
            outlet
                .send(Output::Progress(Progress::Image { reference: reference.clone(), services, stage }))
                .await;
            images.insert(
                name.clone(),
                Image {
                    reference,
                    digest: String::new(),
                    source: Source::Oci,
                    layers: Vec::new(),
                    config: ImageConfig::default(),
                },
            );
        }
        images
    }
}

async fn tell(line: &Line, outlet: &Outlet) {
    for action in actions(line.deed) {
        match (line.object, &line.service) {
            (Object::Container, Some(service)) => {
                outlet.container(&line.name, service, *action, None, Some(0)).await;
            }
            (Object::Network, _) => outlet.object(ObjectKind::Network, &line.name, *action).await,
            (Object::Volume | Object::Container, _) => {
                outlet.object(ObjectKind::Volume, &line.name, *action).await;
            }
        }
    }
}

fn actions(deed: Deed) -> &'static [Action] {
    match deed {
        Deed::Create => &[Action::Creating, Action::Created],
        Deed::Recreate => &[Action::Recreating, Action::Recreated],
        Deed::Start => &[Action::Starting, Action::Started],
        Deed::Leave => &[Action::Running],
        Deed::LeaveCompleted => &[Action::Completed],
        Deed::Stop => &[Action::Stopping, Action::Stopped],
        Deed::Remove => &[Action::Removing, Action::Removed],
    }
}
