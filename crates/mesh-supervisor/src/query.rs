//! Requests that change nothing: what is there, and how the caller itself can reach it.

use crate::{
    container::{Container, View},
    desk::{Desk, hung_up},
    outlet::{Outlet, Output},
    owner::Command,
    programs::Crier,
    words::refusal,
};
use futures_util::{StreamExt, stream};
use mesh_api::{
    message::{Answer, ApiError, ErrorKind},
    options::{ExecOptions, FileOperation},
    request::Request,
    status::{ContainerStatus, ProcessRow, UsageRow, VolumeRow},
};
use mesh_lifecycle::phase::Phase;
use mesh_model::container::ContainerId;
use mesh_runtime::exec::{CopyRequest, ExecRequest, Invocation};
use std::os::fd::OwnedFd;

/// Containers asked at once.
const QUESTIONS_AT_ONCE_MAX: usize = 16;

impl Desk {
    /// Answers a question. `ending`: what came with one for an `exec`.
    pub(crate) async fn query(
        &self,
        request: Request,
        ending: Option<OwnedFd>,
        outlet: &Outlet,
    ) -> Result<Answer, ApiError> {
        match request {
            Request::Containers => Ok(Answer::Containers(self.statuses())),
            Request::Project => {
                let view = self.owner.now();
                Ok(Answer::Project(view.project.as_ref().map(|project| Box::new((**project).clone()))))
            }
            Request::Exec(options) => self.exec(options, ending).await,
            Request::Attach { service, index } => {
                let id = self.attachable(&service, index)?;
                let orders = self.ground(&format!("service {service}"), self.runtime.attach(&id)).await?;
                self.owner.tell(Command::Announce(id, "attach")).await;
                Ok(self.invocation(orders))
            }
            Request::Files { container, operation } => Box::pin(self.files(&container, operation)).await,
            Request::Certificates { services } => Box::pin(self.certificates(&services)).await,
            Request::RenewCertificates { services, force } => {
                Box::pin(self.renew_certificates(&services, force, outlet)).await
            }
            Request::Stats { services } => Box::pin(self.stats(&services)).await,
            Request::Top { services } => Box::pin(self.top(&services)).await,
            Request::Volumes => Box::pin(self.volumes()).await,
            Request::Events { since_unix_ms, programs } => {
                Box::pin(self.events(since_unix_ms, programs, outlet)).await
            }
            Request::Wait { services } => Box::pin(self.wait(&services, outlet)).await,
            _ => Err(refusal(ErrorKind::Internal, "this request is not a question")),
        }
    }

    fn statuses(&self) -> Vec<ContainerStatus> {
        let (view, project) = self.project();
        let known = |name: &str| {
            project.services.contains_key(name) || project.inactive.iter().any(|one| one == name)
        };
        let mut statuses: Vec<ContainerStatus> = view
            .containers
            .values()
            .map(|found| ContainerStatus {
                certificate_troubles: {
                    let mut troubles = self.certificates.troubles(&found.spec.id);
                    troubles.extend(self.authority.troubles(&found.spec.id));
                    troubles
                },
                ..found.status(!found.spec.one_off && !known(found.service()))
            })
            .collect();
        statuses.sort_by(|one, other| {
            (&one.service, one.one_off, one.index, &one.name).cmp(&(
                &other.service,
                other.one_off,
                other.index,
                &other.name,
            ))
        });
        statuses
    }

    /// `ending`: where the shim of the program will say how it ended.
    async fn exec(&self, options: ExecOptions, ending: Option<OwnedFd>) -> Result<Answer, ApiError> {
        let id = self.one_of(&options.service, options.index, true)?;
        let request = ExecRequest {
            command: options.command,
            environment: options.environment,
            user: options.user,
            working_dir: options.working_dir,
            tty: options.tty,
            privileged: options.privileged,
            detach: options.detach,
        };
        let what = format!("service {}", options.service);
        let orders = self.ground(&what, self.runtime.exec(&id, &request)).await?;
        let crier = Crier::of(&self.owner.inbox, &id, &request.command);
        crier.started().await;
        if let Some(ending) = ending {
            // Whoever waits for the answer need not wait for this.
            self.owner.hand(Command::Follow(crier, ending)).await;
        }
        Ok(self.invocation(orders))
    }

    fn invocation(&self, orders: Invocation) -> Answer {
        let Invocation { arguments, payload, door } = orders;
        Answer::Invocation { arguments, payload, version: self.version.clone(), door }
    }

    /// One container of a service: the one with the number, or the first that runs.
    fn one_of(&self, service: &str, index: Option<u32>, must_run: bool) -> Result<ContainerId, ApiError> {
        self.check_services(&[service.to_owned()])?;
        let view = self.owner.now();
        let mut found: Vec<&Container> = view
            .of_service(service)
            .filter(|found| index.is_none_or(|index| found.spec.index == index))
            .collect();
        // Running ones first, then by number.
        found.sort_by_key(|found| (!matches!(found.phase, Phase::Up { .. }), found.spec.index));
        let numbered = || index.map(|index| format!(" #{index}")).unwrap_or_default();
        match found.first() {
            Some(container) if !must_run || matches!(container.phase, Phase::Up { .. }) => {
                Ok(container.spec.id.clone())
            }
            Some(_) => {
                Err(refusal(ErrorKind::Request, format!("service {service}{} is not running", numbered())))
            }
            None => {
                Err(refusal(ErrorKind::Request, format!("service {service}{} has no container", numbered())))
            }
        }
    }

    async fn files(&self, container: &str, operation: FileOperation) -> Result<Answer, ApiError> {
        let request = match operation {
            FileOperation::Out { path } => CopyRequest::Out { path },
            FileOperation::In { directory, archive } => CopyRequest::In { directory, archive },
            FileOperation::Look { path } => CopyRequest::Look { path },
            FileOperation::List { path } => CopyRequest::List { path },
            FileOperation::Remove { paths } => CopyRequest::Remove { paths },
        };
        let view = self.owner.now();
        let found = view.containers.values().find(|found| found.spec.name == container);
        let id = found
            .map(|found| found.spec.id.clone())
            .ok_or_else(|| refusal(ErrorKind::Request, format!("no such container: {container}")))?;
        self.ground(&format!("container {container}"), self.runtime.copy(&id, &request))
            .await
            .map(|orders| self.invocation(orders))
    }

    /// A container of a service whose streams can be reached, `run`'s after those of `up`.
    fn attachable(&self, service: &str, index: Option<u32>) -> Result<ContainerId, ApiError> {
        self.check_services(&[service.to_owned()])?;
        let view = self.owner.now();
        let meant = |found: &&Container| {
            found.service() == service && index.is_none_or(|index| found.spec.index == index)
        };
        let running = |found: &&Container| matches!(found.phase, Phase::Up { .. });
        let found = view
            .containers
            .values()
            .filter(meant)
            .filter(running)
            .min_by_key(|found| (found.spec.one_off, found.spec.index));
        let said = match (found, index) {
            (Some(container), _) if !matches!(container.phase, Phase::Up { paused: true, .. }) => {
                return Ok(container.spec.id.clone());
            }
            (Some(_), _) => "cannot attach to a paused container, unpause it first".to_owned(),
            (None, Some(index)) => format!("service \"{service}\" is not running container #{index}"),
            (None, None) => format!("service \"{service}\" is not running"),
        };
        Err(refusal(ErrorKind::Request, said))
    }

    /// Running containers of the services (none: all), by name.
    fn running(&self, services: &[String]) -> Result<Vec<Container>, ApiError> {
        self.check_services(services)?;
        let view = self.owner.now();
        let wanted = |found: &&Container| {
            matches!(found.phase, Phase::Up { .. })
                && (services.is_empty() || services.contains(&found.spec.service.name))
        };
        let mut found: Vec<Container> = view.containers.values().filter(wanted).cloned().collect();
        found.sort_by(|one, other| one.spec.name.cmp(&other.spec.name));
        Ok(found)
    }

    async fn stats(&self, services: &[String]) -> Result<Answer, ApiError> {
        let rows = stream::iter(self.running(services)?).map(|container| async move {
            // One that ended just now is not an error of the question.
            let usage = self.runtime.usage(&container.spec.id).await.ok()?;
            Some(UsageRow {
                id: container.spec.id.0.clone(),
                name: container.spec.name.clone(),
                service: container.service().to_owned(),
                at_unix_ms: crate::container::unix_ms(),
                cpu_ns: usage.cpu_ns,
                memory_bytes: usage.memory_bytes,
                memory_limit_bytes: usage.memory_limit_bytes,
                pids: usage.pids,
                network_received_bytes: usage.network_received_bytes,
                network_sent_bytes: usage.network_sent_bytes,
                block_read_bytes: usage.block_read_bytes,
                block_written_bytes: usage.block_written_bytes,
            })
        });
        let rows: Vec<Option<UsageRow>> = rows.buffered(QUESTIONS_AT_ONCE_MAX).collect().await;
        Ok(Answer::Stats(rows.into_iter().flatten().collect()))
    }

    async fn top(&self, services: &[String]) -> Result<Answer, ApiError> {
        let rows = stream::iter(self.running(services)?).map(|container| async move {
            let processes = self.runtime.processes(&container.spec.id).await.unwrap_or_default();
            self.owner.tell(Command::Announce(container.spec.id.clone(), "top")).await;
            let row = |process: mesh_runtime::observed::ProcessStatus| ProcessRow {
                name: container.spec.name.clone(),
                service: container.service().to_owned(),
                uid: process.uid,
                pid: process.pid,
                parent_pid: process.parent_pid,
                started_unix_ms: process.started_unix_ms,
                cpu_ms: process.cpu_ms,
                command: process.command,
                terminal: process.terminal,
            };
            processes.into_iter().map(row).collect::<Vec<_>>()
        });
        let rows: Vec<Vec<ProcessRow>> = rows.buffered(QUESTIONS_AT_ONCE_MAX).collect().await;
        Ok(Answer::Top(rows.into_iter().flatten().collect()))
    }

    async fn volumes(&self) -> Result<Answer, ApiError> {
        let volumes = self.ground("volumes", self.runtime.volumes()).await?;
        let (_, project) = self.project();
        // Those by which tools of Compose know a volume.
        let own = |key: String| {
            let own = [
                ("project", project.name.clone()),
                ("version", env!("CARGO_PKG_VERSION").to_owned()),
                ("volume", key),
            ];
            own.map(|(key, value)| (format!("com.docker.compose.{key}"), value))
        };
        let row = |volume: mesh_runtime::observed::VolumeStatus| {
            let mut labels = volume.labels;
            labels.extend(volume.key.into_iter().flat_map(own));
            VolumeRow { name: volume.name, driver: volume.driver, mountpoint: volume.mountpoint, labels }
        };
        Ok(Answer::Volumes(volumes.into_iter().map(row).collect()))
    }

    async fn events(
        &self,
        since_unix_ms: Option<u64>,
        programs: bool,
        outlet: &Outlet,
    ) -> Result<Answer, ApiError> {
        let mut listener = self.owner.events.listen(since_unix_ms, programs);
        loop {
            let event = tokio::select! { biased;
                () = outlet.gone() => return Err(hung_up()),
                () = self.stop.cancelled() => return Ok(Answer::Done),
                event = listener.next() => event,
            };
            match event {
                Some(event) => outlet.send(Output::Event(event)).await,
                None => return Ok(Answer::Done),
            }
        }
    }

    async fn wait(&self, services: &[String], outlet: &Outlet) -> Result<Answer, ApiError> {
        self.check_services(services)?;
        let wanted = |found: &&Container| {
            !found.spec.one_off && (services.is_empty() || services.contains(&found.spec.service.name))
        };
        let view = self.owner.now();
        let mut containers: Vec<&Container> = view.containers.values().filter(wanted).collect();
        containers.sort_by(|one, other| one.spec.name.cmp(&other.spec.name));
        let Some(first) = containers.first().map(|found| found.spec.id.clone()) else {
            return Err(refusal(ErrorKind::Request, "there is no container to wait for"));
        };
        let ids: Vec<ContainerId> = containers.iter().map(|found| found.spec.id.clone()).collect();
        let mut code = 0;
        let ended = self.owner.until(|view: &View| {
            if let Some(exit) = view.exit_of(&first) {
                code = exit.code;
            }
            let lives = |found: &Container| {
                found.phase.alive() || matches!(found.phase, Phase::Held | Phase::Backoff { .. })
            };
            !ids.iter().filter_map(|id| view.containers.get(id)).any(lives)
        });
        tokio::select! { biased;
            () = ended => {}
            () = outlet.gone() => return Err(hung_up()),
            () = self.stop.cancelled() => return Err(refusal(ErrorKind::Busy, "the supervisor ends")),
        }
        Ok(Answer::Exit { code })
    }
}
