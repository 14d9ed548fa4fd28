//! `/api/verify`, `/api/reindex`, `/api/backup`: for those who keep the server.

use actix_web::HttpResponse;
use actix_web::web::{Bytes, Data, Json};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::error::ApiError;
use crate::app::App;
use crate::error::{Code, Problem};
use crate::ingest;
use crate::ingest::verify::{self, Report};

/// Piece of a backup that is sent at once, in bytes.
const PIECE: u64 = 1 << 20;

#[derive(Default, Deserialize, Serialize, ToSchema)]
pub(super) struct VerifyBody {
    #[serde(default)]
    repair: bool,
}

/// Check store and index, and mend them on request.
#[utoipa::path(post, path = "/api/verify", tag = "operations", request_body = VerifyBody, responses((status = 200, body = Report)))]
pub(super) async fn verify(app: Data<App>, body: Json<VerifyBody>) -> Result<Json<Report>, ApiError> {
    Ok(Json(if body.repair { verify::repair(&app).await? } else { verify::verify(&app).await? }))
}

/// Build the index anew, while the old one serves.
#[utoipa::path(post, path = "/api/reindex", tag = "operations", responses((status = 200, body = Object, example = json!({"status": "ok", "applied": 12}))))]
pub(super) async fn reindex(app: Data<App>) -> Result<Json<serde_json::Value>, ApiError> {
    ingest::reindex(&app).await?;
    let applied = app.search.applied().await.map_err(Problem::from)?;
    Ok(Json(json!({"status": "ok", "applied": applied})))
}

/// A consistent copy of the whole store. It is made in the data folder first, under a name that goes at once.
#[utoipa::path(post, path = "/api/backup", tag = "operations", responses((status = 200, body = Vec<u8>, content_type = "application/vnd.sqlite3")))]
pub(super) async fn backup(app: Data<App>) -> Result<HttpResponse, ApiError> {
    let folder = tempfile::Builder::new().prefix("backup-").tempdir_in(&app.config.data_dir).map_err(unwritable)?;
    let path = folder.path().join("copy.sqlite");
    app.store.copy_to(&path).await?;
    let file = std::fs::File::open(&path).map_err(unwritable)?;
    let bytes = file.metadata().map_err(unwritable)?.len();
    drop(folder);
    let pieces = stream::try_unfold(file, |mut file| async move {
        let read = tokio::task::spawn_blocking(move || {
            use std::io::Read as _;
            let mut piece = Vec::new();
            std::io::Read::by_ref(&mut file).take(PIECE).read_to_end(&mut piece)?;
            Ok::<_, std::io::Error>((piece, file))
        });
        let (piece, file) = read.await.map_err(std::io::Error::other)??;
        Ok::<_, std::io::Error>((!piece.is_empty()).then(|| (Bytes::from(piece), file)))
    });
    Ok(HttpResponse::Ok()
        .content_type("application/vnd.sqlite3")
        .body(actix_web::body::SizedStream::new(bytes, Box::pin(pieces))))
}

fn unwritable(error: std::io::Error) -> Problem {
    tracing::error!(%error, "the backup cannot be made in the data folder");
    if error.kind() == std::io::ErrorKind::StorageFull {
        return Problem::new(
            Code::StorageFull,
            "a backup needs as much room in the data folder as the database; free some",
        );
    }
    Problem::new(Code::StoreUnavailable, "the backup cannot be made in the data folder; see the server's log")
}
