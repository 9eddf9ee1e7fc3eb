//! Those who wait for the same: a few of them at a time work, for all.
//!
//! Whoever comes while enough others work waits, and the next who works takes its request together with others: so the
//! busier an authority is, the more is done in one go, and who waits is woken once.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Those who wait, each with requests.
#[derive(Debug)]
pub(crate) struct WaitingRoom<Q, A> {
    /// How many work at once.
    most: usize,
    state: Mutex<State<Q, A>>,
}

#[derive(Debug)]
struct State<Q, A> {
    /// How many work, or were told to.
    working: usize,
    waiting: VecDeque<Waiting<Q, A>>,
}

/// A request, and who waits for its answer.
#[derive(Debug)]
pub(crate) struct Waiting<Q, A> {
    pub(crate) request: Q,
    pub(crate) asker: Asker<A>,
    told_to_work: bool,
}

/// Who waits for the answer to one of its requests.
#[derive(Debug)]
pub(crate) struct Asker<A> {
    /// Which of its requests.
    number: usize,
    /// Has room for all that it can be told.
    word: SyncSender<Word<A>>,
}

/// What one who waits is told.
#[derive(Debug)]
enum Word<A> {
    /// Its turn has come to work, for itself and for those behind it.
    Work,
    /// The answer to one of its requests.
    Answer(usize, A),
}

impl<A> Asker<A> {
    pub(crate) fn tell(self, answer: A) {
        // Whoever asked may have ended meanwhile.
        let _ = self.word.try_send(Word::Answer(self.number, answer));
    }
}

impl<Q, A> WaitingRoom<Q, A> {
    /// A room in which at most so many work at once.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, state: Mutex::new(State { working: 0, waiting: VecDeque::new() }) }
    }

    fn state(&self) -> MutexGuard<'_, State<Q, A>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the requests are answered, one answer for each in their order. When it is this one's turn it does `work`:
    /// that takes requests [`WaitingRoom::together`] and tells their askers. No answer where who had taken a request has
    /// ended unexpectedly.
    pub(crate) fn ask(&self, requests: Vec<Q>, work: impl Fn()) -> Vec<Option<A>> {
        let mut answers: Vec<Option<A>> = requests.iter().map(|_| None).collect();
        let (works, words) = self.enter(requests);
        if works {
            self.work(&work);
        }
        while answers.iter().any(Option::is_none) {
            match words.recv() {
                Ok(Word::Work) => self.work(&work),
                Ok(Word::Answer(number, answer)) => {
                    if let Some(place) = answers.get_mut(number) {
                        *place = Some(answer);
                    }
                }
                Err(_) => break,
            }
        }
        answers
    }

    /// Waits with requests: where few enough work, the caller has to (`true`).
    fn enter(&self, requests: Vec<Q>) -> (bool, Receiver<Word<A>>) {
        let (word, words) = sync_channel(requests.len() * 2);
        let mut state = self.state();
        for (number, request) in requests.into_iter().enumerate() {
            let asker = Asker { number, word: word.clone() };
            state.waiting.push_back(Waiting { request, asker, told_to_work: false });
        }
        let works = state.working < self.most;
        state.working += usize::from(works);
        (works, words)
    }

    fn work(&self, work: &impl Fn()) {
        let _turn = Turn(self);
        work();
    }

    /// Takes those that go together, the longest waiting first: at most so many, and as long as `fits` says so. The first goes
    /// in any case.
    pub(crate) fn together(&self, most: usize, mut fits: impl FnMut(&Q) -> bool) -> VecDeque<Waiting<Q, A>> {
        let mut state = self.state();
        let count = state.waiting.iter().take(most).take_while(|one| fits(&one.request)).count().max(1);
        let count = count.min(state.waiting.len());
        state.waiting.drain(..count).collect()
    }

    /// Lets them wait on, before all others.
    pub(crate) fn put_back(&self, those: VecDeque<Waiting<Q, A>>) {
        let mut state = self.state();
        for one in those.into_iter().rev() {
            state.waiting.push_front(one);
        }
    }

    /// Whoever has worked is done: the next one is told to.
    fn let_next_work(&self) {
        let mut state = self.state();
        while let Some(place) = state.waiting.iter().position(|one| !one.told_to_work) {
            let next = state.waiting.get_mut(place);
            if next.is_some_and(|next| {
                next.told_to_work = true;
                next.asker.word.try_send(Word::Work).is_ok()
            }) {
                return;
            }
            // It has ended.
            state.waiting.remove(place);
        }
        state.working -= 1;
    }
}

/// Somebody's turn to work; dropped, the next one is told.
#[derive(Debug)]
struct Turn<'r, Q, A>(&'r WaitingRoom<Q, A>);

impl<Q, A> Drop for Turn<'_, Q, A> {
    fn drop(&mut self) {
        self.0.let_next_work();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    type Room = WaitingRoom<u8, u8>;

    fn numbers(together: &VecDeque<Waiting<u8, u8>>) -> Vec<u8> {
        together.iter().map(|one| one.request).collect()
    }

    /// Shows REQ-AUTH-31.
    #[test]
    fn one_works_for_all_and_the_next_is_told_to() {
        let room = Room::new(1);
        let (works, first) = room.enter(vec![100]);
        assert!(works);
        let later: Vec<_> = (0..40).map(|number| room.enter(vec![number])).collect();
        assert!(later.iter().all(|(works, _)| !works), "somebody works already");
        let mut together = room.together(32, |_| true);
        assert_eq!(together.len(), 32);
        together.pop_front().unwrap().asker.tell(1);
        assert!(matches!(first.recv(), Ok(Word::Answer(0, 1))));
        // Those without an answer are the first again, in their order.
        room.put_back(together);
        drop(Turn(&room));
        assert!(matches!(later[0].1.try_recv(), Ok(Word::Work)));
        assert!(later[1..].iter().all(|(_, word)| word.try_recv().is_err()), "only one may work");
        assert_eq!(numbers(&room.together(32, |_| true)), (0..32).collect::<Vec<u8>>());
    }

    #[test]
    fn one_that_has_ended_holds_nobody_up() {
        let room = Room::new(1);
        let _works = room.enter(vec![1]);
        drop(room.together(32, |_| true));
        drop(room.enter(vec![2]));
        let (_, third) = room.enter(vec![3]);
        drop(Turn(&room));
        assert!(matches!(third.try_recv(), Ok(Word::Work)));
        drop((room.together(32, |_| true), Turn(&room)));
        assert!(room.enter(vec![4]).0, "nobody works any more");
    }

    #[test]
    fn what_goes_together_is_bounded() {
        let room = Room::new(1);
        let _waiting = room.enter(vec![40, 40, 200, 3]);
        let counts: Vec<usize> = (0..5)
            .map(|_| {
                let mut sum = 0_u32;
                let fits = |one: &u8| {
                    sum += u32::from(*one);
                    sum <= 64
                };
                room.together(32, fits).len()
            })
            .collect();
        assert_eq!(counts, [1, 1, 1, 1, 0]);
    }

    /// Shows REQ-KEYS-96: whoever waits is answered once, with its own answers in their order, however many work at once.
    #[test]
    fn everybody_gets_its_own_answers() {
        for most in [1, 3] {
            let (room, working, largest) = (Room::new(most), AtomicUsize::new(0), AtomicUsize::new(0));
            let work = || {
                largest.fetch_max(working.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                for one in room.together(7, |_| true) {
                    std::thread::yield_now();
                    one.asker.tell(one.request.wrapping_add(1));
                }
                working.fetch_sub(1, Ordering::SeqCst);
            };
            std::thread::scope(|scope| {
                for asker in 0..16_u8 {
                    let (room, work) = (&room, &work);
                    scope.spawn(move || {
                        for round in 0..200_u8 {
                            let mine = vec![asker, round, 7];
                            let answers = room.ask(mine.clone(), work);
                            assert_eq!(answers, mine.iter().map(|one| Some(one.wrapping_add(1))).collect::<Vec<_>>());
                        }
                    });
                }
            });
            assert!(largest.into_inner() <= most);
            assert_eq!(room.state().working, 0, "nobody is left who was told to work");
        }
    }

    #[test]
    fn one_whose_request_is_lost_is_told_nothing_and_goes_on() {
        let room = Room::new(1);
        assert_eq!(room.ask(vec![1], || drop(room.together(1, |_| true))), [None]);
        assert_eq!(room.state().working, 0);
    }
}
