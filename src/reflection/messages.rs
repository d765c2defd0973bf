//! The messages of `grpc.reflection.v1`, and of `v1alpha`, which has the same under another name.

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{DecodeContext, WireType, message, skip_field, string};
use prost::{DecodeError, Message};

use crate::message::{Field, Own, messages};

/// What a server is asked, one question at a time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Request {
    pub(crate) host: String,
    pub(crate) question: Option<Question>,
}

/// The oneof: what comes last counts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Question {
    FileByFilename(String),
    FileContainingSymbol(String),
    FileContainingExtension(ExtensionRequest),
    AllExtensionNumbersOfType(String),
    /// What is asked for is not looked at.
    ListServices(String),
}

/// What it answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Response {
    pub(crate) valid_host: String,
    pub(crate) original_request: Option<Request>,
    pub(crate) answer: Option<Answer>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Files(Files),
    ExtensionNumbers(ExtensionNumbers),
    Services(Services),
    Error(Refusal),
}

messages! {
    pub(crate) struct ExtensionRequest {
        1 containing_type: String,
        2 extension_number: i32,
    }

    /// Encoded `FileDescriptorProto`s.
    pub(crate) struct Files {
        1 file_descriptor_proto: Vec<Bytes>,
    }

    pub(crate) struct ExtensionNumbers {
        1 base_type_name: String,
        2 extension_number: Vec<i32>,
    }

    pub(crate) struct Services {
        1 service: Vec<ServiceName>,
    }

    pub(crate) struct ServiceName {
        1 name: String,
    }

    pub(crate) struct Refusal {
        1 error_code: i32,
        2 error_message: String,
    }
}

impl Own for Request {}

impl Message for Request {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        self.host.put(1, buf);
        match &self.question {
            Some(Question::FileByFilename(name)) => string::encode(3, name, buf),
            Some(Question::FileContainingSymbol(name)) => string::encode(4, name, buf),
            Some(Question::FileContainingExtension(which)) => message::encode(5, which, buf),
            Some(Question::AllExtensionNumbersOfType(name)) => string::encode(6, name, buf),
            Some(Question::ListServices(text)) => string::encode(7, text, buf),
            None => {}
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        let make: fn(String) -> Question = match tag {
            1 => return Field::merge(&mut self.host, wire_type, buf, context),
            3 => Question::FileByFilename,
            4 => Question::FileContainingSymbol,
            5 => {
                let mut which = match self.question.take() {
                    Some(Question::FileContainingExtension(which)) => which,
                    _ => ExtensionRequest::default(),
                };
                message::merge(wire_type, &mut which, buf, context)?;
                self.question = Some(Question::FileContainingExtension(which));
                return Ok(());
            }
            6 => Question::AllExtensionNumbersOfType,
            7 => Question::ListServices,
            _ => return skip_field(wire_type, tag, buf, context),
        };
        let mut text = String::new();
        string::merge(wire_type, &mut text, buf, context)?;
        self.question = Some(make(text));
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        let question = match &self.question {
            Some(Question::FileByFilename(name)) => string::encoded_len(3, name),
            Some(Question::FileContainingSymbol(name)) => string::encoded_len(4, name),
            Some(Question::FileContainingExtension(which)) => message::encoded_len(5, which),
            Some(Question::AllExtensionNumbersOfType(name)) => string::encoded_len(6, name),
            Some(Question::ListServices(text)) => string::encoded_len(7, text),
            None => 0,
        };
        Field::len(&self.host, 1) + question
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Message for Response {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        self.valid_host.put(1, buf);
        self.original_request.put(2, buf);
        match &self.answer {
            Some(Answer::Files(files)) => message::encode(4, files, buf),
            Some(Answer::ExtensionNumbers(numbers)) => message::encode(5, numbers, buf),
            Some(Answer::Services(services)) => message::encode(6, services, buf),
            Some(Answer::Error(refusal)) => message::encode(7, refusal, buf),
            None => {}
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        fn read<M: Own>(
            wire_type: WireType,
            buf: &mut impl Buf,
            context: DecodeContext,
        ) -> Result<M, DecodeError> {
            let mut read = M::default();
            message::merge(wire_type, &mut read, buf, context)?;
            Ok(read)
        }
        self.answer = Some(match tag {
            1 => return Field::merge(&mut self.valid_host, wire_type, buf, context),
            2 => return Field::merge(&mut self.original_request, wire_type, buf, context),
            4 => Answer::Files(read(wire_type, buf, context)?),
            5 => Answer::ExtensionNumbers(read(wire_type, buf, context)?),
            6 => Answer::Services(read(wire_type, buf, context)?),
            7 => Answer::Error(read(wire_type, buf, context)?),
            _ => return skip_field(wire_type, tag, buf, context),
        });
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        let answer = match &self.answer {
            Some(Answer::Files(files)) => message::encoded_len(4, files),
            Some(Answer::ExtensionNumbers(numbers)) => message::encoded_len(5, numbers),
            Some(Answer::Services(services)) => message::encoded_len(6, services),
            Some(Answer::Error(refusal)) => message::encoded_len(7, refusal),
            None => 0,
        };
        Field::len(&self.valid_host, 1) + Field::len(&self.original_request, 2) + answer
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers_come_back() {
        let which = ExtensionRequest { containing_type: "a.B".into(), extension_number: 7 };
        for question in [
            None,
            Some(Question::FileByFilename("a.proto".into())),
            Some(Question::FileContainingSymbol(String::new())),
            Some(Question::FileContainingExtension(which)),
            Some(Question::AllExtensionNumbersOfType("a.B".into())),
            Some(Question::ListServices(String::new())),
        ] {
            let request = Request { host: "h".into(), question };
            let octets = request.encode_to_vec();
            assert_eq!(octets.len(), request.encoded_len());
            assert_eq!(Request::decode(&octets[..]).unwrap(), request);
            for answer in [
                None,
                Some(Answer::Files(Files {
                    file_descriptor_proto: vec![Bytes::from_static(b"x")],
                })),
                Some(Answer::ExtensionNumbers(ExtensionNumbers::default())),
                Some(Answer::Services(Services {
                    service: vec![ServiceName { name: "s".into() }],
                })),
                Some(Answer::Error(Refusal { error_code: 5, error_message: "no".into() })),
            ] {
                let original_request = Some(request.clone());
                let response = Response { valid_host: "h".into(), original_request, answer };
                let octets = response.encode_to_vec();
                assert_eq!(octets.len(), response.encoded_len());
                assert_eq!(Response::decode(&octets[..]).unwrap(), response);
            }
        }
    }

    #[test]
    fn of_several_questions_the_last_counts() {
        let request = Request::decode(&b"\x1a\x01a\x22\x01b\x3a\x00"[..]).unwrap();
        assert_eq!(request.question, Some(Question::ListServices(String::new())));
        assert!(Request::decode(&b"\x1a\x05a"[..]).is_err());
    }
}
