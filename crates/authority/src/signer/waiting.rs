//! Those who wait for the signer: one of them at a time asks, for all.

use super::protocol::Answer;
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most requests that are sent before an answer is read, and their most bytes. Both fit what a socket holds: so neither
/// side waits for the other to read while it writes itself. A request that is longer goes alone.
const TOGETHER: usize = 32;
const TOGETHER_BYTES: usize = 64 << 10;

/// Those who wait for the signer.
#[derive(Debug, Default)]
pub(super) struct WaitingRoom(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Somebody asks, or was told to.
    asking: bool,
    waiting: VecDeque<Waiting>,
}

/// A request, and who waits for its answer.
#[derive(Debug)]
pub(super) struct Waiting {
    message: Vec<u8>,
    /// Has room for one word, and one who waits is told one at a time.
    word: SyncSender<Word>,
}

/// What one who waits is told.
#[derive(Debug)]
pub(super) enum Word {
    /// Its turn has come to ask, for itself and for those behind it.
    Ask,
    /// The answer, or why there is none.
    Answer(Result<Answer, String>),
}

impl Waiting {
    pub(super) fn message(&self) -> &[u8] {
        &self.message
    }

    pub(super) fn tell(self, answer: Result<Answer, String>) {
        // Whoever asked may have ended meanwhile.
        let _ = self.word.try_send(Word::Answer(answer));
    }
}

impl WaitingRoom {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits with a request: where nobody asks, the caller has to (`true`); else it is told a word.
    pub(super) fn enter(&self, message: Vec<u8>) -> (bool, Receiver<Word>) {
        let (sender, word) = sync_channel(1);
        let mut state = self.state();
        state.waiting.push_back(Waiting { message, word: sender });
        (!std::mem::replace(&mut state.asking, true), word)
    }

    /// Takes those whose requests go together, the longest waiting first.
    pub(super) fn together(&self) -> VecDeque<Waiting> {
        let mut state = self.state();
        let mut bytes = 0;
        let fits = |one: &&Waiting| {
            bytes += one.message.len();
            bytes <= TOGETHER_BYTES
        };
        let count = state.waiting.iter().take(TOGETHER).take_while(fits).count().max(1);
        let count = count.min(state.waiting.len());
        state.waiting.drain(..count).collect()
    }

    /// Lets them wait on, before all others.
    pub(super) fn put_back(&self, those: VecDeque<Waiting>) {
        let mut state = self.state();
        for one in those.into_iter().rev() {
            state.waiting.push_front(one);
        }
    }

    /// To be held by the one who asks, while it does.
    pub(super) fn turn(&self) -> Turn<'_> {
        Turn(self)
    }

    /// Whoever has asked is done: the next one is told to.
    fn let_next_ask(&self) {
        let mut state = self.state();
        while let Some(next) = state.waiting.front() {
            if next.word.try_send(Word::Ask).is_ok() {
                return;
            }
            // It has ended.
            state.waiting.pop_front();
        }
        state.asking = false;
    }
}

/// Somebody's turn to ask; dropped, the next one is told.
#[derive(Debug)]
pub(super) struct Turn<'r>(&'r WaitingRoom);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.let_next_ask();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Result<Answer, String> {
        Ok(Answer::Done(text.as_bytes().to_vec()))
    }

    /// Shows REQ-AUTH-31.
    #[test]
    fn one_asks_for_all_and_the_next_is_told_to() {
        let room = WaitingRoom::default();
        let (asks, first) = room.enter(b"1".to_vec());
        assert!(asks);
        let later: Vec<_> = (0..40_u8).map(|number| room.enter(vec![number])).collect();
        assert!(later.iter().all(|(asks, _)| !asks), "somebody asks already");
        let mut together = room.together();
        assert_eq!(together.len(), TOGETHER);
        together.pop_front().unwrap().tell(answer("one"));
        assert!(matches!(first.recv(), Ok(Word::Answer(Ok(Answer::Done(bytes)))) if bytes == b"one"));
        // The connection broke: those without an answer are the first again, in their order.
        room.put_back(together);
        drop(room.turn());
        assert!(matches!(later[0].1.try_recv(), Ok(Word::Ask)));
        assert!(later[1..].iter().all(|(_, word)| word.try_recv().is_err()), "only one may ask");
        let together = room.together();
        let messages: Vec<u8> = together.iter().map(|one| one.message()[0]).collect();
        assert_eq!(messages, (0..32).collect::<Vec<u8>>());
    }

    #[test]
    fn one_that_has_ended_holds_nobody_up() {
        let room = WaitingRoom::default();
        let _asks = room.enter(b"1".to_vec());
        drop(room.together());
        drop(room.enter(b"2".to_vec()));
        let (_, third) = room.enter(b"3".to_vec());
        drop(room.turn());
        assert!(matches!(third.try_recv(), Ok(Word::Ask)));
        drop((room.together(), room.turn()));
        assert!(room.enter(b"4".to_vec()).0, "nobody asks any more");
    }

    #[test]
    fn what_is_sent_before_an_answer_is_read_is_bounded() {
        let room = WaitingRoom::default();
        let long = vec![0; TOGETHER_BYTES * 2];
        let _waiting =
            [room.enter(vec![1; 40 << 10]), room.enter(vec![2; 40 << 10]), room.enter(long), room.enter(vec![3])];
        let counts: Vec<usize> = (0..5).map(|_| room.together().len()).collect();
        assert_eq!(counts, [1, 1, 1, 1, 0]);
    }
}
