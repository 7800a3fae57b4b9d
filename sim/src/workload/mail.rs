//! Mail of every size that the engine treats differently.

use std::fmt::Write;

use crate::dice::Dice;

/// A message. Some come twice, so that equal content is met again.
pub fn message(seed: u64, dice: &Dice) -> Vec<u8> {
    let number = if dice.one_in(4) { dice.below(TWICE) } else { TWICE + dice.below(1 << 30) };
    // Equal numbers are equal messages.
    let dice = Dice::of(&[seed, number]);
    let bytes = match dice.below(100) {
        0..72 => 100 + dice.below(3000),
        72..95 => 8_000 + dice.below(24_000),
        95..99 => 130_000 + dice.below(40_000),
        _ => 1_350_000,
    };
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "From: office@harbour.example\r\nMessage-ID: <m{number}@harbour.example>\r\n\
         In-Reply-To: <m{}@harbour.example>\r\nSubject: Tide {number}\r\n\r\n",
        number / 3,
    );
    body(&mut text, bytes, &dice);
    text.into_bytes()
}

/// Lines of noise that hardly shrinks.
fn body(text: &mut String, bytes: u64, dice: &Dice) {
    let mut left = bytes;
    while left > 0 {
        for byte in dice.next().to_le_bytes() {
            text.push(char::from(b'!' + byte % 94));
        }
        if dice.one_in(8) {
            text.push_str("\r\n");
        }
        left = left.saturating_sub(8);
    }
    text.push_str("\r\n");
}

/// Messages with smaller numbers are made again and again.
const TWICE: u64 = 8;
