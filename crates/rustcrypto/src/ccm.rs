//! AES-128 in CCM mode (RFC 3610) with L = 2, over the block cipher of crate `aes`.
//!
//! The general crate takes the additional data in one piece, and there is no buffer here to join pieces in.

use aes::Aes128Enc;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use medlock_proto::crypto::Forged;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const BLOCK_BYTES: usize = 16;
type Block = [u8; BLOCK_BYTES];

/// Encrypts `text` and writes `tag`.
///
/// A text of 2^16 bytes or more, or a tag that is neither 8 nor 16 bytes long, is the caller's mistake: `text` and `tag`
/// are erased, so that nothing leaves unprotected.
pub(crate) fn seal(key: &[u8; 16], nonce: &[u8; 13], aad: &[&[u8]], text: &mut [u8], tag: &mut [u8]) {
    let cipher = Aes128Enc::new(&Array(*key));
    let Some(full) = authenticate(&cipher, nonce, aad, text, tag.len()) else {
        text.zeroize();
        tag.zeroize();
        return;
    };
    let full = Zeroizing::new(full);
    apply_key_stream(&cipher, nonce, text);
    tag.iter_mut().zip(full.iter()).for_each(|(to, from)| *to = *from);
}

/// Decrypts `text` if `tag` belongs to it, and erases it otherwise.
pub(crate) fn open(key: &[u8; 16], nonce: &[u8; 13], aad: &[&[u8]], text: &mut [u8], tag: &[u8]) -> Result<(), Forged> {
    let cipher = Aes128Enc::new(&Array(*key));
    apply_key_stream(&cipher, nonce, text);
    let full = authenticate(&cipher, nonce, aad, text, tag.len()).map(Zeroizing::new);
    let expected = full.as_ref().and_then(|full| full.get(..tag.len()));
    if expected.is_some_and(|expected| bool::from(expected.ct_eq(tag))) {
        Ok(())
    } else {
        text.zeroize();
        Err(Forged)
    }
}

/// The encrypted authentication value T xor S_0 in full length; `None` if lengths are not those of the mode.
fn authenticate(cipher: &Aes128Enc, nonce: &[u8; 13], aad: &[&[u8]], text: &[u8], tag_bytes: usize) -> Option<Block> {
    // M' = (M - 2) / 2 in bits 3 to 5, L' = L - 1 in bits 0 to 2 (section 2.2).
    let flags = match tag_bytes {
        8 => 0b0001_1001,
        16 => 0b0011_1001,
        _ => return None,
    };
    let aad_bytes = aad.iter().try_fold(0_usize, |sum, part| sum.checked_add(part.len()))?;
    let text_bytes = u16::try_from(text.len()).ok()?;
    let mut mac = CbcMac { cipher, state: [0; BLOCK_BYTES], used: 0 };
    mac.feed(&numbered(if aad_bytes > 0 { flags | 0x40 } else { flags }, nonce, text_bytes));
    if aad_bytes > 0 {
        match u16::try_from(aad_bytes) {
            Ok(short) if short < 0xff00 => mac.feed(&short.to_be_bytes()),
            _ => {
                mac.feed(&[0xff, 0xfe]);
                mac.feed(&u32::try_from(aad_bytes).ok()?.to_be_bytes());
            }
        }
        aad.iter().for_each(|part| mac.feed(part));
        mac.end_block();
    }
    mac.feed(text);
    mac.end_block();
    let mut tag = mac.state;
    xor(&mut tag, &key_block(cipher, nonce, 0));
    Some(tag)
}

/// CBC-MAC that takes its input in pieces of any length.
struct CbcMac<'c> {
    cipher: &'c Aes128Enc,
    state: Block,
    used: usize,
}

impl CbcMac<'_> {
    fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let Some(at) = self.state.get_mut(self.used) {
                *at ^= byte;
            }
            self.used = self.used.saturating_add(1);
            if self.used == BLOCK_BYTES {
                self.step();
            }
        }
    }

    /// Fills the block up with zeros.
    fn end_block(&mut self) {
        if self.used > 0 {
            self.step();
        }
    }

    fn step(&mut self) {
        self.cipher.encrypt_block((&mut self.state).into());
        self.used = 0;
    }
}

impl Drop for CbcMac<'_> {
    fn drop(&mut self) {
        self.state.zeroize();
    }
}

/// Encrypts or decrypts: S_1, S_2 and so on over `text`. More than 2^16 blocks are refused by the length of the text.
fn apply_key_stream(cipher: &Aes128Enc, nonce: &[u8; 13], text: &mut [u8]) {
    for (counter, block) in (1..=u16::MAX).zip(text.chunks_mut(BLOCK_BYTES)) {
        let stream = Zeroizing::new(key_block(cipher, nonce, counter));
        xor(block, &*stream);
    }
}

/// S_i: the encrypted counter block A_i.
fn key_block(cipher: &Aes128Enc, nonce: &[u8; 13], counter: u16) -> Block {
    let mut block = numbered(0b0000_0001, nonce, counter);
    cipher.encrypt_block((&mut block).into());
    block
}

/// Flags, nonce and a number of two bytes: the shape of B_0 and of A_i.
fn numbered(flags: u8, nonce: &[u8; 13], number: u16) -> Block {
    let mut block = [0; BLOCK_BYTES];
    let [to_flags, to_nonce @ .., high, low] = &mut block;
    (*to_flags, *to_nonce, [*high, *low]) = (flags, *nonce, number.to_be_bytes());
    block
}

fn xor(to: &mut [u8], with: &[u8]) {
    to.iter_mut().zip(with).for_each(|(to, with)| *to ^= with);
}

/// The cipher's round keys have to go when it goes.
const fn assert_erased<T: ZeroizeOnDrop>() {}
const _: () = assert_erased::<Aes128Enc>();
