//! Tokens as a tree.

use super::{
    DEPTH_MAX, TemplateError,
    functions::Function,
    lexer::{self, Token, TokenKind},
    value::Value,
};

/// A piece of a template.
#[derive(Debug)]
pub(super) enum Node {
    /// Text as it is.
    Text(String),
    /// `{{pipeline}}`
    Print(Pipeline),
    /// `if`, `with` or `range`.
    Branch(Branch),
    /// `{{break}}`
    Break,
    /// `{{continue}}`
    Continue,
}

/// A part that is executed once, never, or several times.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) kind: BranchKind,
    pub(super) pipeline: Pipeline,
    pub(super) then: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// How often, and what `.` is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BranchKind {
    If,
    With,
    Range,
}

/// Commands, each given what the one before it gave.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) at: usize,
    /// Variables that are set to what it gives.
    pub(super) variables: Vec<String>,
    /// Whether they are there already.
    pub(super) assigns: bool,
    pub(super) commands: Vec<Command>,
}

/// An operand and its arguments.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) operands: Vec<Operand>,
}

/// A word of a command.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) at: usize,
    /// Where the last of its fields begins.
    pub(super) field_at: usize,
    /// Behind it.
    pub(super) end: usize,
    pub(super) base: Base,
    /// Fields of it, one inside the other.
    pub(super) fields: Vec<String>,
}

/// What an operand begins with.
#[derive(Debug)]
pub(super) enum Base {
    Dot,
    Constant(Value),
    Variable(String),
    Function(Function),
    Parentheses(Box<Pipeline>),
}

/// What ended a list of nodes.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    Source,
    End,
    /// `{{else}}`, or the kind of `{{else if ...}}` and `{{else with ...}}`.
    Else(Option<BranchKind>),
}

/// Reads a whole template.
pub(super) fn parse(source: &str) -> Result<Vec<Node>, TemplateError> {
    let tokens = lexer::tokens(source)?;
    let mut parser = Parser { source, tokens, next: 0, depth: 0, loops: 0, variables: vec!["$".to_owned()] };
    match parser.nodes()? {
        (nodes, Ending::Source) => Ok(nodes),
        (_, Ending::End) => Err(parser.error("unexpected {{end}}")),
        (_, Ending::Else(_)) => Err(parser.error("unexpected {{else}}")),
    }
}

struct Parser<'a> {
    source: &'a str,
    tokens: Vec<Token>,
    next: usize,
    depth: u32,
    loops: u32,
    /// Variables that are known here.
    variables: Vec<String>,
}

impl Parser<'_> {
    fn nodes(&mut self) -> Result<(Vec<Node>, Ending), TemplateError> {
        let mut nodes = Vec::new();
        while let Some(token) = self.take() {
            if token.kind == TokenKind::Outside {
                nodes.push(Node::Text(token.text));
                continue;
            }
            self.skip_space();
            let word = match self.peek() {
                Some(Token { kind: TokenKind::Word, text, .. }) => text.clone(),
                _ => String::new(),
            };
            let kind = match word.as_str() {
                "if" => Some(BranchKind::If),
                "with" => Some(BranchKind::With),
                "range" => Some(BranchKind::Range),
                _ => None,
            };
            match (word.as_str(), kind) {
                (_, Some(kind)) => {
                    self.next += 1;
                    nodes.push(Node::Branch(self.branch(kind)?));
                }
                ("end", _) => {
                    self.next += 1;
                    self.close("end")?;
                    return Ok((nodes, Ending::End));
                }
                ("else", _) => {
                    self.next += 1;
                    return Ok((nodes, Ending::Else(self.alternative()?)));
                }
                ("break" | "continue", _) => {
                    self.next += 1;
                    if self.loops == 0 {
                        return Err(self.error(format!("{{{{{word}}}}} outside {{{{range}}}}")));
                    }
                    self.close(&word)?;
                    nodes.push(if word == "break" { Node::Break } else { Node::Continue });
                }
                ("define" | "block" | "template", _) => {
                    return Err(self.error(format!("{{{{{word}}}}} has no use in a format")));
                }
                _ => nodes.push(Node::Print(self.pipeline("command", false)?)),
            }
        }
        Ok((nodes, Ending::Source))
    }

    /// What follows `else`.
    fn alternative(&mut self) -> Result<Option<BranchKind>, TemplateError> {
        self.skip_space();
        let kind = match self.peek() {
            Some(Token { kind: TokenKind::Word, text, .. }) if text == "if" => Some(BranchKind::If),
            Some(Token { kind: TokenKind::Word, text, .. }) if text == "with" => Some(BranchKind::With),
            _ => None,
        };
        match kind {
            Some(_) => self.next += 1,
            None => self.close("else")?,
        }
        Ok(kind)
    }

    /// From behind `if`, `with` or `range` to behind its `end`.
    fn branch(&mut self, kind: BranchKind) -> Result<Branch, TemplateError> {
        self.deeper()?;
        let known = self.variables.len();
        let word = match kind {
            BranchKind::If => "if",
            BranchKind::With => "with",
            BranchKind::Range => "range",
        };
        let pipeline = self.pipeline(word, kind == BranchKind::Range)?;
        self.loops += u32::from(kind == BranchKind::Range);
        let (then, ending) = self.nodes()?;
        self.loops -= u32::from(kind == BranchKind::Range);
        let (otherwise, ending) = match ending {
            Ending::Else(None) => self.nodes()?,
            // The `end` of an `else if` is that of the whole.
            Ending::Else(Some(inner)) if kind != BranchKind::Range => {
                (vec![Node::Branch(self.branch(inner)?)], Ending::End)
            }
            other => (Vec::new(), other),
        };
        self.variables.truncate(known);
        self.depth -= 1;
        match ending {
            Ending::End => Ok(Branch { kind, pipeline, then, otherwise }),
            Ending::Source => Err(self.error("unexpected EOF")),
            Ending::Else(_) => Err(self.error("expected end; found {{else}}")),
        }
    }

    /// A pipeline up to `}}`.
    fn pipeline(&mut self, context: &str, ranges: bool) -> Result<Pipeline, TemplateError> {
        self.pipeline_until(context, ranges, &TokenKind::Close)
    }

    fn pipeline_until(
        &mut self,
        context: &str,
        ranges: bool,
        end: &TokenKind,
    ) -> Result<Pipeline, TemplateError> {
        self.skip_space();
        let at = self.peek().map_or(self.source.len(), |token| token.at);
        let (variables, assigns) = self.declarations(ranges)?;
        let mut commands = Vec::new();
        loop {
            self.skip_space();
            match self.peek().map(|token| token.kind.clone()) {
                Some(kind) if kind == *end => break,
                None => return Err(self.error("unclosed action")),
                Some(TokenKind::Close) => return Err(self.error("unclosed left paren")),
                Some(TokenKind::Mark(')')) => return Err(self.error("unexpected right paren")),
                Some(TokenKind::Mark('|')) => {
                    return Err(self.error(format!("unexpected \"|\" in {context}")));
                }
                Some(_) => {}
            }
            commands.push(self.command(context)?);
            self.skip_space();
            if self.peek().is_some_and(|token| token.kind == TokenKind::Mark('|')) {
                self.next += 1;
            }
        }
        self.next += 1;
        if commands.is_empty() {
            return Err(self.error(format!("missing value for {context}")));
        }
        for (number, command) in commands.iter().enumerate().skip(1) {
            let constant = |first: &Operand| {
                matches!(first.base, Base::Constant(_) | Base::Dot) && first.fields.is_empty()
            };
            if let Some(first) = command.operands.first().filter(|first| constant(first)) {
                let reason = format!("non executable command in pipeline stage {}", number + 1);
                return Err(self.error_at(first.at, reason));
            }
        }
        self.variables.extend(if assigns { Vec::new() } else { variables.clone() });
        Ok(Pipeline { at, variables, assigns, commands })
    }

    /// `$a :=`, `$a =`, and in a range `$index, $element :=`.
    fn declarations(&mut self, ranges: bool) -> Result<(Vec<String>, bool), TemplateError> {
        let begin = self.next;
        let mut names = Vec::new();
        while let Some(Token { kind: TokenKind::Variable(name), .. }) = self.peek() {
            names.push(name.clone());
            self.next += 1;
            self.skip_space();
            match self.peek().map(|token| &token.kind) {
                Some(TokenKind::Declare) => {
                    self.next += 1;
                    return Ok((names, false));
                }
                Some(TokenKind::Assign) => {
                    self.next += 1;
                    self.known(&names)?;
                    return Ok((names, true));
                }
                Some(TokenKind::Mark(',')) if ranges && names.len() < 2 => {
                    self.next += 1;
                    self.skip_space();
                }
                Some(TokenKind::Mark(',')) => return Err(self.error("too many declarations in range")),
                _ => break,
            }
        }
        self.next = begin;
        Ok((Vec::new(), false))
    }

    fn known(&self, names: &[String]) -> Result<(), TemplateError> {
        match names.iter().find(|name| !self.variables.contains(name)) {
            Some(name) => Err(self.error(format!("undefined variable {name:?}"))),
            None => Ok(()),
        }
    }

    fn command(&mut self, context: &str) -> Result<Command, TemplateError> {
        let mut operands = Vec::new();
        loop {
            match self.peek().map(|token| token.kind.clone()) {
                Some(TokenKind::Space) => self.next += 1,
                None | Some(TokenKind::Close | TokenKind::Mark('|' | ')')) => break,
                Some(_) => {
                    operands.push(self.operand(context)?);
                    match self.peek().map(|token| &token.kind) {
                        None | Some(TokenKind::Space | TokenKind::Close | TokenKind::Mark('|' | ')')) => {}
                        Some(_) => {
                            let found = self.peek().map(|token| token.text.clone()).unwrap_or_default();
                            return Err(self.error(format!("unexpected <{found}> in operand")));
                        }
                    }
                }
            }
        }
        if operands.is_empty() {
            return Err(self.error("empty command"));
        }
        Ok(Command { operands })
    }

    fn operand(&mut self, context: &str) -> Result<Operand, TemplateError> {
        let Some(token) = self.take() else { return Err(self.error("unclosed action")) };
        let mut fields = Vec::new();
        let base = match token.kind {
            TokenKind::Dot => Base::Dot,
            TokenKind::Field(name) => {
                fields.push(name);
                Base::Dot
            }
            TokenKind::Constant(value) => Base::Constant(value),
            TokenKind::Variable(name) => {
                self.known(std::slice::from_ref(&name))?;
                Base::Variable(name)
            }
            TokenKind::Word => match Function::named(&token.text) {
                Some(function) => Base::Function(function),
                None => return Err(self.error_at(token.at, format!("function {:?} not defined", token.text))),
            },
            TokenKind::Mark('(') => {
                self.deeper()?;
                let inner = self.pipeline_until("parenthesized pipeline", false, &TokenKind::Mark(')'))?;
                self.depth -= 1;
                Base::Parentheses(Box::new(inner))
            }
            _ => return Err(self.error_at(token.at, format!("unexpected {:?} in {context}", token.text))),
        };
        let mut field_at = token.at;
        while let Some(Token { kind: TokenKind::Field(name), at, .. }) = self.peek() {
            if matches!(base, Base::Constant(_)) {
                return Err(self.error(format!("unexpected . after term {:?}", token.text)));
            }
            field_at = *at;
            fields.push(name.clone());
            self.next += 1;
        }
        let last = self.tokens.get(self.next.saturating_sub(1));
        let end = last.map_or(self.source.len(), |last| last.at + last.text.len());
        Ok(Operand { at: token.at, field_at, end, base, fields })
    }

    fn close(&mut self, context: &str) -> Result<(), TemplateError> {
        self.skip_space();
        match self.take() {
            Some(Token { kind: TokenKind::Close, .. }) => Ok(()),
            Some(token) => Err(self.error_at(token.at, format!("unexpected {:?} in {context}", token.text))),
            None => Err(self.error("unclosed action")),
        }
    }

    fn deeper(&mut self) -> Result<(), TemplateError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error(format!("it nests deeper than {DEPTH_MAX}")));
        }
        Ok(())
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|token| token.kind == TokenKind::Space) {
            self.next += 1;
        }
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.next).cloned();
        self.next += 1;
        token
    }

    /// An error where the parser is.
    fn error(&self, reason: impl Into<String>) -> TemplateError {
        let at = self.tokens.get(self.next).map_or(self.source.len(), |token| token.at);
        self.error_at(at, reason)
    }

    fn error_at(&self, at: usize, reason: impl Into<String>) -> TemplateError {
        lexer::error(self.source, at, reason)
    }
}
