//! Fetches images into a store and prints their layers: `fetch DIRECTORY REFERENCE...`. For those who
//! write recipes.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a command line tool")]

use mesh_image::{ImageStore, Progress, Request, Settings};
use std::{error::Error, path::PathBuf, time::Instant};
use tokio::sync::mpsc;

/// Progress messages that may wait to be printed.
const PROGRESS_MESSAGES_MAX: usize = 64;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("usage: fetch DIRECTORY REFERENCE...")?;
    let store = ImageStore::open(Settings::new(PathBuf::from(directory)))?;
    let (sender, mut receiver) = mpsc::channel::<Progress>(PROGRESS_MESSAGES_MAX);
    let printer = tokio::spawn(async move {
        while let Some(progress) = receiver.recv().await {
            eprintln!("{progress:?}");
        }
    });
    let mut running = Vec::new();
    for reference in arguments {
        let (store, sender) = (store.clone(), sender.clone());
        running.push(tokio::spawn(async move {
            let started = Instant::now();
            let outcome = store.resolve(&Request::new(reference.as_str()), sender).await;
            (reference, started.elapsed(), outcome)
        }));
    }
    drop(sender);
    for task in running {
        let (reference, took, outcome) = task.await?;
        match outcome {
            Ok(image) => println!("{reference} {took:?} {:?}\n{}", image.source, layers(&image.layers)),
            Err(error) => {
                println!("{reference} {took:?} failed: {error}");
                let mut cause = error.source();
                while let Some(inner) = cause {
                    println!("  {inner}");
                    cause = inner.source();
                }
            }
        }
    }
    printer.await?;
    Ok(())
}

fn layers(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| format!("  {}", path.display())).collect::<Vec<_>>().join("\n")
}
