//! Runs of workflows.

use http::Method;
use serde_json::{Value, json};

use super::{Here, Said, created, not_found, ok};
use crate::harness::fake::{model::Run, objects, shapes::TIME};

pub(super) fn answer(here: &mut Here<'_>, path: &[&str]) -> Option<Said> {
    let ["actions", rest @ ..] = path else { return None };
    let method = here.asked.method.clone();
    match (&method, rest) {
        (&Method::GET, ["workflows"]) => ok(json!({ "total_count": 1, "workflows": [workflow(here)] })),
        (&Method::GET, ["workflows", "1" | "build.yml"]) => ok(workflow(here)),
        (&Method::POST, ["workflows", _, "dispatches"]) => {
            let name = here.asked.text("ref")?.to_owned();
            let Some(commit) = objects::resolve(&here.repository().path, &name) else { return not_found() };
            let run = here.model.run(&name, commit, "workflow_dispatch");
            here.repository_mut().runs.push(run);
            Some(Said::empty())
        }
        (&Method::GET, ["runs"] | ["workflows", _, "runs"]) => {
            let wanted = here.asked.in_query("branch");
            let runs = here.repository().runs.iter().filter(|run| wanted.is_none_or(|branch| run.branch == branch));
            let runs: Vec<_> = runs.map(|run| here.shapes().run(here.repository(), run)).collect();
            ok(json!({ "total_count": runs.len(), "workflow_runs": runs }))
        }
        (_, ["runs", id, rest @ ..]) => {
            let id: u64 = id.parse().ok()?;
            let Some(place) = here.repository().runs.iter().position(|run| run.id == id) else { return not_found() };
            of_one(here, &method, place, rest)
        }
        (_, ["jobs", id, rest @ ..]) => {
            let id: u64 = id.parse().ok()?;
            let Some(place) = here.repository().runs.iter().position(|run| run.job == id) else { return not_found() };
            match (&method, rest) {
                (&Method::GET, []) => ok(job(here, &here.repository().runs[place])),
                (&Method::GET, ["logs"]) => Some(Said::moved(302, here.links.stored(&format!("log/{id}")))),
                (&Method::POST, ["rerun"]) => again(here, place),
                _ => None,
            }
        }
        (&Method::GET, ["artifacts", id, "zip"]) => Some(Said::moved(302, here.links.stored(&format!("artifact/{id}")))),
        _ => None,
    }
}

fn workflow(here: &Here<'_>) -> Value {
    let url = format!("{}/actions/workflows/1", here.shapes().url(here.repository()));
    json!({
        "id": 1, "node_id": "W_1", "name": "build", "path": ".github/workflows/build.yml", "state": "active", "created_at": TIME, "updated_at": TIME,
        "url": url, "html_url": url, "badge_url": url,
    })
}

fn job(here: &Here<'_>, run: &Run) -> Value {
    let url = format!("{}/actions/jobs/{}", here.shapes().url(here.repository()), run.job);
    json!({
        "id": run.job, "run_id": run.id, "run_url": url, "node_id": "J_1", "head_sha": run.commit, "url": url, "html_url": url, "status": run.status,
        "conclusion": "success", "started_at": TIME, "completed_at": TIME, "name": here.repository().marker, "steps": [], "check_run_url": url,
        "labels": [], "run_attempt": run.attempt,
    })
}

fn of_one(here: &mut Here<'_>, method: &Method, place: usize, path: &[&str]) -> Option<Said> {
    let run = &here.repository().runs[place];
    match (method, path) {
        (&Method::GET, []) => ok(here.shapes().run(here.repository(), run)),
        (&Method::GET, ["jobs"]) => ok(json!({ "total_count": 1, "jobs": [job(here, run)] })),
        (&Method::GET, ["logs"]) => Some(Said::moved(302, here.links.stored(&format!("log/{}", run.id)))),
        (&Method::GET, ["artifacts"]) => {
            let url = format!("{}/actions/artifacts/{}", here.shapes().url(here.repository()), run.artifact);
            let artifact = json!({
                "id": run.artifact, "node_id": "A_1", "name": "spoon", "size_in_bytes": 1, "url": url, "archive_download_url": format!("{url}/zip"),
                "expired": false,
            });
            ok(json!({ "total_count": 1, "artifacts": [artifact] }))
        }
        (&Method::POST, ["rerun" | "rerun-failed-jobs"]) => again(here, place),
        (&Method::POST, ["cancel" | "force-cancel"]) => {
            here.repository_mut().runs[place].status = "cancelled";
            Some(Said::json(202, &json!({})))
        }
        (&Method::DELETE, []) => {
            here.repository_mut().runs.remove(place);
            Some(Said::empty())
        }
        _ => None,
    }
}

fn again(here: &mut Here<'_>, place: usize) -> Option<Said> {
    here.repository_mut().runs[place].attempt += 1;
    created(json!({}))
}
