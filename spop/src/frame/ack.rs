use core::fmt;

use bytes::{Bytes, BytesMut};

use super::action::Sink;
use super::{Action, Actions, EncodeError, NameRule, OpenFrame, RawFrame, Scope, Var};
use crate::wire::parse::{self, Parsed, fail};
use crate::wire::{
    DecodeError, DecodeErrorKind, Flags, FrameHeader, FrameType, NotifyId, Text, ToTypedData, TypedData,
};

/// An ACK over any storage `B`: checked once by [`parse`](Ack::parse), walked without failing afterwards.
#[derive(Clone)]
pub struct Ack<B>(RawFrame<B>);

impl Ack<Bytes> {
    /// Creates an ACK of its own, for tools that send frames one by one. An agent has
    /// [`agent::Connection::ack`](crate::agent::Connection::ack).
    pub fn new(id: NotifyId, actions: &Actions) -> Self {
        let header = FrameHeader::whole(FrameType::ACK, id);
        let mut start = [0; FrameHeader::MAX];
        let payload = header.write(&mut start).unwrap_or_default();
        let frame = [&start[..payload], actions.as_bytes()].concat().into();
        Self(RawFrame { frame, header, payload })
    }
}

impl<B: AsRef<[u8]>> Ack<B> {
    /// Checks `frame`, from its type byte to its end.
    ///
    /// # Errors
    /// What is wrong with the frame, and where. HAProxy itself applies the actions before the fault and forgets the
    /// rest without a word.
    pub fn parse(frame: B) -> Result<Self, DecodeError> {
        Self::from_raw(RawFrame::parse(frame)?)
    }

    pub(crate) fn from_raw(raw: RawFrame<B>) -> Result<Self, DecodeError> {
        raw.expect_whole(FrameType::ACK)?;
        let mut input = raw.payload();
        loop {
            match action(input) {
                Ok((_, None)) => return Ok(Self(raw)),
                Ok((rest, Some(_))) => input = rest,
                Err(error) => return parse::finish(raw.len(), Err(error)),
            }
        }
    }

    /// Returns the ids of the NOTIFY that this answers.
    pub fn id(&self) -> NotifyId {
        self.0.header.id
    }

    /// Returns the flags: ABORT stops a NOTIFY that is still coming in fragments, and means nothing otherwise.
    pub fn flags(&self) -> Flags {
        self.0.header.flags
    }

    /// Returns the value of a variable, if the ACK sets it; of the last one if it does so more than once.
    pub fn get(&self, var: Var) -> Option<TypedData<'_>> {
        self.actions().get(var)
    }

    /// Returns the actions, in order.
    pub fn actions(&self) -> AckActions<'_> {
        AckActions(self.0.payload())
    }

    pub(crate) fn as_raw(&self) -> &RawFrame<B> {
        &self.0
    }
}

/// `1/1 sess.ip_score=42 unset txn.user`: the ids, and the actions.
impl<B: AsRef<[u8]>> fmt::Display for Ack<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id().fmt(f)?;
        self.actions().try_for_each(|action| write!(f, " {action}"))
    }
}

impl<B: AsRef<[u8]>> fmt::Debug for Ack<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ack")
            .field("id", &format_args!("{}", self.id()))
            .field("flags", &self.flags())
            .field("actions", &self.actions())
            .finish()
    }
}

/// The actions of an [`Ack`] or of [`Actions`].
#[derive(Clone)]
pub struct AckActions<'a>(&'a [u8]);

impl<'a> AckActions<'a> {
    /// Of a list that was checked.
    pub(super) fn new(encoded: &'a [u8]) -> Self {
        Self(encoded)
    }

    /// The value of a variable, if it is set; of the last one if it is set more than once.
    pub fn get(self, var: Var) -> Option<TypedData<'a>> {
        let values = self.filter_map(|action| match action {
            Action::SetVar { scope, name, value } if scope == var.scope() && name == var.name() => {
                Some(Some(value).filter(|value| *value != TypedData::Null))
            }
            Action::UnsetVar { scope, name } if scope == var.scope() && name == var.name() => Some(None),
            _ => None,
        });
        values.last().flatten()
    }
}

/// `[sess.ip_score=42, unset txn.user]`
impl fmt::Debug for AckActions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl core::iter::FusedIterator for AckActions<'_> {}

impl<'a> Iterator for AckActions<'a> {
    type Item = Action<'a>;

    fn next(&mut self) -> Option<Action<'a>> {
        // The payload was checked: an error cannot be, and would end the list.
        let (rest, action) = action(self.0).ok()?;
        self.0 = rest;
        action
    }
}

/// Parses one action (SPOE.txt 3.4); `None` at the end of the list.
///
/// A type of 0 ends the list, as in HAProxy: it is what an otherwise empty ACK carries for HAProxy 3.1.
fn action(input: &[u8]) -> Parsed<'_, Option<Action<'_>>> {
    let Some((&code, rest)) = input.split_first() else {
        return Ok((input, None));
    };
    match code {
        0 => Ok((&[], None)),
        1 => {
            let (rest, (scope, name)) = variable(rest, 3)?;
            let (rest, value) = parse::typed_data(rest)?;
            Ok((rest, Some(Action::SetVar { scope, name, value })))
        }
        2 => {
            let (rest, (scope, name)) = variable(rest, 2)?;
            Ok((rest, Some(Action::UnsetVar { scope, name })))
        }
        code => fail(input, DecodeErrorKind::UnknownAction(code)),
    }
}

/// Parses the argument count, scope and name of an action's variable.
fn variable(input: &[u8], args: u8) -> Parsed<'_, (Scope, Text<'_>)> {
    let (after_count, [count]) = parse::fixed(input)?;
    if count != args {
        return fail(input, DecodeErrorKind::ActionArgs(count));
    }
    let (rest, [code]) = parse::fixed(after_count)?;
    let Some(scope) = Scope::from_code(code) else {
        return fail(after_count, DecodeErrorKind::UnknownScope(code));
    };
    let (rest, name) = parse::bytes(rest)?;
    Ok((rest, (scope, Text::new(name))))
}

/// Writes an ACK at the end of a buffer, in place.
///
/// Nothing of it stays unless [`finish`](Self::finish) is called: a writer that is dropped takes back all it wrote. An
/// action that fails leaves nothing of itself behind; what was written before stays.
///
/// ```
/// use bytes::BytesMut;
/// use spop::{AckWriter, NotifyId, Scope};
///
/// let mut out = BytesMut::new();
/// let mut ack = AckWriter::new(NotifyId { stream_id: 1, frame_id: 1 }, 16_380, &mut out);
/// ack.set_var(Scope::Transaction, "response", "default")?;
/// ack.finish();
/// assert_eq!(&out[4..11], [103, 0, 0, 0, 1, 1, 1]);
/// # Ok::<(), spop::EncodeError>(())
/// ```
#[derive(Debug)]
#[must_use = "an ACK that is not finished is taken back"]
pub struct AckWriter<'b> {
    frame: OpenFrame<'b>,
    names: NameRule,
}

impl<'b> AckWriter<'b> {
    /// Starts an ACK to `id` of at most `max_frame_size` bytes, the length prefix not counted.
    ///
    /// An agent gets it from [`agent::Connection::ack_with`](crate::agent::Connection::ack_with) instead, which knows
    /// the limit.
    #[inline(always)]
    pub fn new(id: NotifyId, max_frame_size: usize, out: &'b mut BytesMut) -> Self {
        let frame = OpenFrame::new(out, FrameHeader::whole(FrameType::ACK, id), max_frame_size);
        Self { frame, names: NameRule::ANY_PREFIX }
    }

    /// Holds variables to `names`.
    #[inline(always)]
    pub(crate) fn with_names(self, names: NameRule) -> Self {
        Self { names, ..self }
    }

    /// Sets a variable as [`Actions::set_var`].
    ///
    /// # Errors
    /// As there, and [`EncodeError::FrameTooBig`] if the action does not fit.
    #[inline(always)]
    pub fn set_var(
        &mut self,
        scope: Scope,
        name: &str,
        value: impl ToTypedData,
    ) -> Result<&mut Self, EncodeError> {
        let names = self.names;
        let value = value.to_typed_data();
        self.frame.append(|frame| names.put_set_var(frame, scope, name, value))?;
        Ok(self)
    }

    /// Unsets a variable as [`Actions::unset_var`].
    ///
    /// # Errors
    /// As there, and [`EncodeError::FrameTooBig`] if the action does not fit.
    pub fn unset_var(&mut self, scope: Scope, name: &str) -> Result<&mut Self, EncodeError> {
        let names = self.names;
        self.frame.append(|frame| names.put_unset_var(frame, scope, name))?;
        Ok(self)
    }

    /// Adds all of `actions`, or none.
    ///
    /// # Errors
    /// [`EncodeError::FrameTooBig`] if they do not fit; [`EncodeError::NameTooLong`] if a name is too long for the
    /// prefix of [`agent::Config::var_prefix`](crate::agent::Config::var_prefix).
    #[inline(always)]
    pub fn append(&mut self, actions: &Actions) -> Result<&mut Self, EncodeError> {
        self.names.check_all(actions)?;
        self.frame.append(|frame| {
            actions.append_to(frame);
            Ok(())
        })?;
        Ok(self)
    }

    /// Returns how many more bytes fit.
    pub fn remaining(&self) -> usize {
        self.frame.remaining()
    }

    /// Completes the frame: it stays in the buffer, to be sent.
    #[inline(always)]
    pub fn finish(mut self) {
        self.frame.finish();
    }

    /// Finishes as [`finish`](Self::finish) does; with `fill_empty` no ACK is without a payload, of which an early
    /// HAProxy 3.1 takes no notice (wire pitfall P11).
    #[inline(always)]
    pub(crate) fn finish_for(mut self, fill_empty: bool) {
        if fill_empty && self.frame.is_empty() {
            // A byte of 0 ends the list of actions in every version; if it does not fit, nor does an ACK.
            let _ = self.frame.append(|frame| {
                frame.put(&[0]);
                Ok(())
            });
        }
        self.frame.finish();
    }
}

#[cfg(test)]
mod tests;
