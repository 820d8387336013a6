//! Networks and volumes: those of the plan, those that must be there already, and those that the file
//! has otherwise than they are.

use crate::{desk::Desk, outlet::Outlet, words::refusal};
use mesh_api::message::{Action, ApiError, ErrorKind, Level, ObjectKind};
use mesh_model::{
    network::Network,
    project::{Project, Volume},
};
use mesh_plan::{
    naming,
    plan::{Plan, PresentNetwork},
};
use mesh_runtime::{
    error::RuntimeError,
    observed::{NetworkStatus, VolumeStatus},
};

impl Desk {
    /// Refuses external networks and volumes that are not there, before anything is made.
    pub(crate) async fn check_external(&self, project: &Project, plan: &Plan) -> Result<(), ApiError> {
        for network in plan.networks.iter().filter_map(|key| project.networks.get(key)) {
            if network.external {
                return Err(no_external_network(network));
            }
        }
        for volume in plan.volumes.iter().filter_map(|key| project.volumes.get(key)) {
            if volume.external {
                self.make_volume(volume).await?;
            }
        }
        Ok(())
    }

    /// Makes the networks and volumes that are not there.
    pub(crate) async fn make_resources(
        &self,
        project: &Project,
        plan: &Plan,
        outlet: &Outlet,
    ) -> Result<(), ApiError> {
        for network in plan.networks.iter().filter_map(|key| project.networks.get(key)) {
            outlet.object(ObjectKind::Network, &network.name, Action::Creating).await;
            self.make_network(network).await?;
            outlet.object(ObjectKind::Network, &network.name, Action::Created).await;
        }
        let volumes = plan.volumes.iter().filter_map(|key| project.volumes.get(key));
        for volume in volumes.filter(|volume| !volume.external) {
            outlet.object(ObjectKind::Volume, &volume.name, Action::Creating).await;
            self.make_volume(volume).await?;
            outlet.object(ObjectKind::Volume, &volume.name, Action::Created).await;
        }
        Ok(())
    }

    /// Makes one network; an external one must be there.
    pub(crate) async fn make_network(&self, network: &Network) -> Result<(), ApiError> {
        if network.external {
            return Err(no_external_network(network));
        }
        self.ground(&format!("network {}", network.name), self.runtime.create_network(network)).await
    }

    /// Makes one volume; an external one must be there.
    pub(crate) async fn make_volume(&self, volume: &Volume) -> Result<(), ApiError> {
        let labelled = match volume.external {
            true => volume.clone(),
            false => Volume { labels: naming::volume_labels(&self.name, volume), ..volume.clone() },
        };
        let made = async {
            match self.runtime.create_volume(&labelled).await {
                Err(RuntimeError::Missing { .. }) if volume.external => Ok(Err(no_external_volume(volume))),
                made => made.map(Ok),
            }
        };
        self.ground(&format!("volume {}", volume.name), made).await?
    }

    /// Makes networks anew that the file has otherwise than they are; nothing runs on them any more.
    pub(crate) async fn remake_networks(
        &self,
        project: &Project,
        keys: &[String],
        outlet: &Outlet,
    ) -> Result<(), ApiError> {
        let networks: Vec<&Network> = keys.iter().filter_map(|key| project.networks.get(key)).collect();
        // All go before the first comes: two may have exchanged their subnets.
        for network in &networks {
            outlet.object(ObjectKind::Network, &network.name, Action::Recreating).await;
            let removed = self.runtime.remove_network(&network.name);
            self.ground(&format!("network {}", network.name), removed).await?;
        }
        for network in &networks {
            self.make_network(network).await?;
            outlet.object(ObjectKind::Network, &network.name, Action::Recreated).await;
        }
        Ok(())
    }
}

fn no_external_network(network: &Network) -> ApiError {
    ApiError {
        hint: Some(
            "networks live in their project, so there are none outside of it to join; drop `external: true`"
                .to_owned(),
        ),
        ..refusal(
            ErrorKind::Request,
            format!("network {} declared as external, but could not be found", network.name),
        )
    }
}

fn no_external_volume(volume: &Volume) -> ApiError {
    ApiError {
        hint: Some(format!(
            "drop `external: true`, or have another project make it: a volume with `name: {}`",
            volume.name
        )),
        ..refusal(
            ErrorKind::Request,
            format!("volume {} declared as external, but could not be found", volume.name),
        )
    }
}

/// A network that is there, as planning sees it.
pub(crate) fn present_network(status: NetworkStatus) -> (String, PresentNetwork) {
    let NetworkStatus { name, subnet, gateway, internal } = status;
    (name, PresentNetwork { subnet, gateway, internal })
}

/// Tells which volumes the file has otherwise than they were made. They are kept: what is in them is
/// worth more than their options.
pub(crate) async fn tell_changed_volumes(project: &Project, there: &[VolumeStatus], outlet: &Outlet) {
    for status in there {
        let changed = |volume: &&Volume| {
            volume.name == status.name
                && !volume.external
                && (volume.driver != status.driver || volume.driver_opts != status.driver_opts)
        };
        if let Some(volume) = project.volumes.values().find(changed) {
            let text = format!(
                "volume {} was made with other driver options than the file has now; what is in it is kept where it is (to have it made anew, remove it with: mesh down -v)",
                volume.name
            );
            outlet.note(Level::Warning, text).await;
        }
    }
}
