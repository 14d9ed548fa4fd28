//! `dokkai mcp`: the Model Context Protocol on stdin and stdout, for agents that start their servers themselves. Messages
//! are passed to `/mcp` of the server that the command talks to, and back.

use std::collections::HashSet;

use clap::{ArgMatches, Command};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, ErrorData, JsonRpcError, JsonRpcMessage, RequestId, ServerJsonRpcMessage,
};
use rmcp::service::{RoleClient, RoleServer};
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::{Transport, stdio};

use super::session::Session;
use super::{CliError, server_flag, start_logs};
use crate::config::Config;

pub(super) fn command() -> Command {
    Command::new("mcp")
        .about("Serve agents on stdin and stdout (Model Context Protocol); `serve` does it at /mcp")
        .arg(server_flag())
}

pub(super) async fn run(matches: &ArgMatches, config: Config) -> Result<(), CliError> {
    start_logs(&config, true);
    let session = Session::open(matches, config).await?;
    let (stdin, stdout) = stdio();
    pass(AsyncRwTransport::new_server(stdin, stdout), session.client.mcp()).await;
    session.close().await;
    Ok(())
}

/// Passes messages on, either way, until the agent closes its side or the server is gone. What the agent asked before
/// is still answered.
async fn pass(mut agent: impl Transport<RoleServer>, mut server: impl Transport<RoleClient>) {
    // They begin in the order in which they are put in, as the start of a conversation needs it.
    let mut sending = FuturesUnordered::new();
    let mut unanswered = HashSet::new();
    let mut open = true;
    while open || !sending.is_empty() || !unanswered.is_empty() {
        tokio::select! {
            message = agent.receive(), if open => match message {
                Some(message) => {
                    let id = asked(&message);
                    unanswered.extend(id.clone());
                    if let Some(cancelled) = cancelled(&message) {
                        unanswered.remove(&cancelled);
                    }
                    let sent = server.send(message);
                    sending.push(async move { sent.await.err().zip(id) });
                }
                None => open = false,
            },
            reply = server.receive() => match reply {
                Some(reply) => {
                    if let Some(answered) = answered(&reply) {
                        unanswered.remove(&answered);
                    }
                    drop(agent.send(reply).await);
                }
                None => break,
            },
            Some(sent) = sending.next() => {
                // Who asked must not wait for ever.
                if let Some((error, id)) = sent && unanswered.remove(&id) {
                    let failed = ErrorData::internal_error(format!("the server cannot be talked to: {error}"), None);
                    drop(agent.send(JsonRpcMessage::Error(JsonRpcError::new(Some(id), failed))).await);
                }
            }
        }
    }
}

/// The request that a message is.
fn asked(message: &ClientJsonRpcMessage) -> Option<RequestId> {
    if let JsonRpcMessage::Request(request) = message { Some(request.id.clone()) } else { None }
}

/// The request that a message takes back.
fn cancelled(message: &ClientJsonRpcMessage) -> Option<RequestId> {
    let JsonRpcMessage::Notification(notification) = message else { return None };
    let ClientNotification::CancelledNotification(cancelled) = &notification.notification else { return None };
    cancelled.params.request_id.clone()
}

/// The request that a message answers.
fn answered(message: &ServerJsonRpcMessage) -> Option<RequestId> {
    match message {
        JsonRpcMessage::Response(response) => Some(response.id.clone()),
        JsonRpcMessage::Error(error) => error.id.clone(),
        JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => None,
    }
}
