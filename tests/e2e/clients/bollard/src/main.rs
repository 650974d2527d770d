//! `dockgate-e2e-bollard NAME IMAGE`: bollard against the engine that the environment names; one line per step.
//!
//! Run, attach with stdin, logs, exec and wait, which are what testcontainers-rs does.

use std::error::Error;
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, LogsOptionsBuilder, WaitContainerOptions,
};
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(name), Some(image)) = (arguments.next(), arguments.next()) else {
        return Err("expected NAME and IMAGE".into());
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(40), tour(&name, image)).await? })
}

async fn tour(name: &str, image: String) -> Result<()> {
    // Reads DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH like the docker CLI.
    let docker = Docker::connect_with_defaults()?;
    println!("ping {}", docker.ping().await?);

    let body = ContainerCreateBody {
        image: Some(image),
        cmd: Some(["sh", "-c", "read word; echo $word pong; sleep 0.3; exit 6"].map(String::from).to_vec()),
        open_stdin: Some(true),
        stdin_once: Some(true),
        host_config: Some(HostConfig { network_mode: Some("none".into()), ..HostConfig::default() }),
        ..ContainerCreateBody::default()
    };
    docker.create_container(Some(CreateContainerOptionsBuilder::default().name(name).build()), body).await?;
    let options = AttachContainerOptionsBuilder::default().stdin(true).stdout(true).stderr(true).stream(true).build();
    let mut attached = docker.attach_container(name, Some(options)).await?;
    docker.start_container(name, None).await?;

    let exec = docker
        .create_exec(name, CreateExecOptions { cmd: Some(vec!["echo", "inside"]), attach_stdout: Some(true), ..CreateExecOptions::default() })
        .await?;
    if let StartExecResults::Attached { output, .. } = docker.start_exec(&exec.id, None).await? {
        println!("exec {:?}", collect(output).await?);
    }

    attached.input.write_all(b"ping\n").await?;
    attached.input.shutdown().await?;
    println!("attach {:?}", collect(attached.output).await?);
    // A non-zero exit code is an error in bollard's eyes.
    match docker.wait_container(name, None::<WaitContainerOptions>).next().await {
        Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => println!("wait {code}"),
        other => println!("wait {other:?}"),
    }
    let logs = docker.logs(name, Some(LogsOptionsBuilder::default().stdout(true).build()));
    println!("logs {:?}", collect(logs).await?);
    Ok(())
}

async fn collect(
    mut output: impl futures_util::Stream<Item = std::result::Result<LogOutput, bollard::errors::Error>> + Unpin,
) -> Result<String> {
    let mut text = String::new();
    while let Some(frame) = output.next().await {
        text += &frame?.to_string();
    }
    Ok(text)
}
