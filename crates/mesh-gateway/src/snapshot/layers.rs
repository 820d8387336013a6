//! Middlewares by their names, each made once.

use super::{Status, provider_of, qualified, service::Services};
use crate::{
    config::model::{Middleware, Named, Shown},
    middleware::{Kind, Layer},
};
use std::sync::Arc;

/// Deepest nesting of chains.
const DEPTH_LEVELS_MAX: usize = 32;
/// Most layers of a router, or of a service.
const LAYERS_MAX: usize = 256;
/// Most names that are looked at for those: chains of chains may name very many, and no layer.
const STEPS_MAX: usize = 1_024;

pub(super) struct Layers<'c> {
    configured: &'c Named<Middleware>,
    made: Named<Result<Arc<Made>, String>>,
    statuses: Named<Status>,
}

/// What names lead to, and how one came there.
#[derive(Default)]
struct Resolved {
    layers: Vec<(String, Arc<Layer>)>,
    way: Vec<String>,
    steps: usize,
}

enum Made {
    Layer(Arc<Layer>),
    Chain(Vec<String>),
    /// Something that requests do without.
    Nothing,
}

impl<'c> Layers<'c> {
    /// All of them are made, also those that nobody uses: their errors are to be seen.
    pub(super) fn new(configured: &'c Named<Middleware>) -> Self {
        let mut layers = Self { configured, made: Named::new(), statuses: Named::new() };
        for (name, config) in configured {
            let mut status = Status::default();
            let made = make(name, config, &mut status);
            layers.made.insert(name.clone(), made);
            layers.statuses.insert(name.clone(), status);
        }
        layers
    }

    /// Leads layers to the services that they name.
    pub(super) fn join(&mut self, services: &Services<'_>) {
        for (name, made) in &mut self.made {
            let Ok(found) = made else { continue };
            let Made::Layer(layer) = &**found else { continue };
            let Some((service, place)) = layer.wants() else { continue };
            match services.find(&qualified(service, provider_of(name))) {
                // It may have been led there by a service that is behind it.
                Ok(destination) => drop(place.set(destination)),
                Err(error) => {
                    if let Some(status) = self.statuses.get_mut(name) {
                        status.error(error.clone(), true);
                    }
                    *made = Err(error);
                }
            }
        }
    }

    /// The layers that these names stand for, chains resolved, each with its own name.
    pub(super) fn named_chain(&mut self, names: &[String]) -> Result<Vec<(String, Arc<Layer>)>, String> {
        let mut resolved = Resolved::default();
        for name in names {
            self.add(name, &mut resolved)?;
        }
        Ok(resolved.layers)
    }

    fn add(&mut self, name: &str, resolved: &mut Resolved) -> Result<(), String> {
        let Resolved { layers, way, steps } = resolved;
        *steps += 1;
        if *steps > STEPS_MAX {
            return Err(format!(
                "a router or a service names at most {STEPS_MAX} middlewares, those of chains included"
            ));
        }
        let made = match self.made.get(name) {
            Some(Ok(made)) => made.clone(),
            Some(Err(error)) => return Err(error.clone()),
            None => return Err(format!("middleware {name:?} does not exist")),
        };
        if way.iter().any(|before| before == name) || way.len() >= DEPTH_LEVELS_MAX {
            let cycle = [way.as_slice(), &[name.to_owned()]].concat().join("->");
            let message = format!("could not instantiate middleware {name}: recursion detected in {cycle}");
            if let Some(status) = self.statuses.get_mut(name) {
                status.error(message.clone(), true);
            }
            return Err(message);
        }
        match &*made {
            Made::Layer(layer) if layers.len() < LAYERS_MAX => layers.push((name.to_owned(), layer.clone())),
            Made::Layer(_) => {
                return Err(format!("a router or a service has at most {LAYERS_MAX} middlewares"));
            }
            Made::Nothing => {}
            Made::Chain(names) => {
                way.push(name.to_owned());
                for name in names {
                    self.add(name, resolved)?;
                }
                resolved.way.pop();
            }
        }
        Ok(())
    }

    /// Names and kinds of what [`Self::named_chain`] has given for the same names, in the same order.
    pub(super) fn described(&self, names: &[String]) -> Vec<(String, String)> {
        let mut all = Vec::new();
        let mut left: Vec<&String> = names.iter().rev().collect();
        for _ in 0..STEPS_MAX {
            let Some(name) = left.pop() else { break };
            match self.made.get(name) {
                Some(Ok(made)) if let Made::Chain(names) = &**made => left.extend(names.iter().rev()),
                Some(Ok(made)) if matches!(**made, Made::Layer(_)) && all.len() < LAYERS_MAX => {
                    let config = self.configured.get(name).map(Shown::shown);
                    let kind = config.as_ref().and_then(serde_json::Value::as_object);
                    let kind = kind.and_then(|fields| fields.keys().next().cloned());
                    all.push((name.clone(), kind.unwrap_or_default()));
                }
                _ => {}
            }
        }
        all
    }

    /// How all of them stand, and what became of them.
    pub(super) fn finish(self) -> (Named<Status>, Named<Arc<Layer>>) {
        debug_assert_eq!(self.statuses.len(), self.configured.len(), "every middleware has a status");
        let layers = self.made.into_iter().filter_map(|(name, made)| match &*made.ok()? {
            Made::Layer(layer) => Some((name, layer.clone())),
            Made::Chain(_) | Made::Nothing => None,
        });
        (self.statuses, layers.collect())
    }
}

fn make(name: &str, config: &Middleware, status: &mut Status) -> Result<Arc<Made>, String> {
    let message = match Kind::build(name, config) {
        Ok(Kind::Layer(layer)) => return Ok(Arc::new(Made::Layer(Arc::from(layer)))),
        Ok(Kind::Chain(names)) => {
            let provider = provider_of(name);
            let names = names.iter().map(|name| qualified(name, provider)).collect();
            return Ok(Arc::new(Made::Chain(names)));
        }
        Ok(Kind::Nothing) => return Ok(Arc::new(Made::Nothing)),
        Err(error) => crate::chain(&error),
    };
    status.error(message.clone(), true);
    Err(message)
}
