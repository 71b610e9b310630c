//! Asking several servers at once, without waiting long for those that are dead.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// Runs all at once and returns what came, in the given order. As soon as one has succeeded, the others get `grace`
/// to answer too; who has not by then is missing from the result. With no success, all are waited for.
pub(crate) async fn all_within_grace<T, E, F>(
    asks: impl IntoIterator<Item = F>,
    grace: Duration,
) -> Vec<(usize, Result<T, E>)>
where
    T: Send + 'static,
    E: Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    let mut running = JoinSet::new();
    for (index, ask) in asks.into_iter().enumerate() {
        running.spawn(async move { (index, ask.await) });
    }
    let mut answers = Vec::new();
    let mut deadline: Option<Instant> = None;
    loop {
        let next = match deadline {
            None => running.join_next().await,
            Some(deadline) => match timeout_at(deadline, running.join_next()).await {
                Ok(next) => next,
                Err(_) => break,
            },
        };
        match next {
            None => break,
            Some(Ok((index, answer))) => {
                if answer.is_ok() && deadline.is_none() {
                    deadline = Some(Instant::now() + grace);
                }
                answers.push((index, answer));
            }
            Some(Err(error)) => tracing::error!(%error, "a task that asks a server died"),
        }
    }
    answers.sort_by_key(|(index, _)| *index);
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(after_ms: u64, answer: Result<u64, u64>) -> Result<u64, u64> {
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        answer
    }

    #[tokio::test]
    async fn the_first_success_bounds_the_wait_for_the_others() {
        let asks = [ask(60_000, Ok(0)), ask(20, Ok(1)), ask(0, Ok(2)), ask(0, Err(3))];
        let answers = all_within_grace(asks, Duration::from_millis(500)).await;
        assert_eq!(answers, [(1, Ok(1)), (2, Ok(2)), (3, Err(3))]);
    }

    #[tokio::test]
    async fn failures_alone_are_all_waited_for() {
        let answers = all_within_grace([ask(30, Err(1)), ask(0, Err(2))], Duration::ZERO).await;
        assert_eq!(answers, [(0, Err(1)), (1, Err(2))]);
    }
}
