//! A tree, executed.

use super::{
    OUTPUT_BYTES_MAX, Purpose, STEPS_MAX, TemplateError,
    functions::{CallError, Function},
    line_and_byte,
    parser::{Base, Branch, BranchKind, Command, Node, Operand, Pipeline},
    value::Value,
};

use std::ops::Range;

/// How a list of nodes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

/// Executes `nodes` with `.` being `subject`.
pub(super) fn execute(
    source: &str,
    nodes: &[Node],
    subject: &Value,
    purpose: Purpose,
    text: &mut String,
) -> Result<(), TemplateError> {
    let variables = vec![("$".to_owned(), subject.clone())];
    let mut run = Run { source, purpose, text, variables, steps: 0 };
    run.nodes(nodes, subject).map(|_| ())
}

struct Run<'a> {
    source: &'a str,
    purpose: Purpose,
    text: &'a mut String,
    variables: Vec<(String, Value)>,
    steps: u32,
}

impl Run<'_> {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, TemplateError> {
        for node in nodes {
            let flow = match node {
                Node::Text(text) => {
                    self.write(text)?;
                    Flow::On
                }
                Node::Print(pipeline) => {
                    let value = self.pipeline(pipeline, dot)?;
                    if pipeline.variables.is_empty() {
                        self.write(&value.shown())?;
                    }
                    Flow::On
                }
                Node::Branch(branch) => self.branch(branch, dot)?,
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn branch(&mut self, branch: &Branch, dot: &Value) -> Result<Flow, TemplateError> {
        let known = self.variables.len();
        let flow = match branch.kind {
            BranchKind::Range => self.range(branch, dot),
            BranchKind::If | BranchKind::With => {
                let value = self.pipeline(&branch.pipeline, dot)?;
                match (value.is_true(), branch.kind) {
                    (true, BranchKind::With) => self.nodes(&branch.then, &value),
                    (true, _) => self.nodes(&branch.then, dot),
                    (false, _) => self.nodes(&branch.otherwise, dot),
                }
            }
        };
        self.variables.truncate(known);
        flow
    }

    fn range(&mut self, branch: &Branch, dot: &Value) -> Result<Flow, TemplateError> {
        let pipeline = &branch.pipeline;
        let mut elements = Vec::new();
        let value = self.commands(pipeline, dot)?;
        match value {
            Value::Missing => {}
            Value::List(values) => elements.extend((0..).map(Value::Int).zip(values)),
            Value::Map(values) => elements.extend(values.into_iter().map(|(key, value)| (key.into(), value))),
            Value::Int(count) => {
                let count = count.clamp(0, i64::from(STEPS_MAX) + 1);
                elements.extend((0..count).map(|number| (Value::Int(number), Value::Int(number))));
            }
            other => {
                let end = pipeline.commands.last().and_then(|command| command.operands.last());
                let written = pipeline.at..end.map_or(pipeline.at, |operand| operand.end);
                let reason = format!("range can't iterate over {}", other.shown());
                return Err(self.error(pipeline.at, written, reason));
            }
        }
        if elements.is_empty() {
            return self.nodes(&branch.otherwise, dot);
        }
        let known = self.variables.len();
        for (key, element) in elements {
            self.step(pipeline.at)?;
            self.set(pipeline, &key, &element);
            let flow = self.nodes(&branch.then, &element)?;
            self.variables.truncate(known);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    /// Sets the variables of a range: the element, or the key and the element.
    fn set(&mut self, pipeline: &Pipeline, key: &Value, element: &Value) {
        let values: &[&Value] = if pipeline.variables.len() > 1 { &[key, element] } else { &[element] };
        for (name, value) in pipeline.variables.iter().zip(values) {
            self.bind(name, (*value).clone(), pipeline.assigns);
        }
    }

    fn bind(&mut self, name: &str, value: Value, assigns: bool) {
        let there = self.variables.iter_mut().rev().find(|(known, _)| known == name);
        match there {
            Some((_, place)) if assigns => *place = value,
            _ => self.variables.push((name.to_owned(), value)),
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, TemplateError> {
        let value = self.commands(pipeline, dot)?;
        for name in &pipeline.variables {
            self.bind(name, value.clone(), pipeline.assigns);
        }
        Ok(value)
    }

    fn commands(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, TemplateError> {
        let mut last = None;
        for command in &pipeline.commands {
            self.step(pipeline.at)?;
            last = Some(self.command(command, dot, last)?);
        }
        Ok(last.unwrap_or(Value::Missing))
    }

    fn command(
        &mut self,
        command: &Command,
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Value, TemplateError> {
        let Some((first, rest)) = command.operands.split_first() else { return Ok(Value::Missing) };
        if let Base::Function(function) = first.base
            && first.fields.is_empty()
        {
            return self.call(function, &command.operands, dot, last);
        }
        if rest.is_empty() && last.is_none() {
            return match first.base {
                Base::Constant(Value::Missing) => Err(self.error_in(first, "nil is not a command")),
                _ => self.operand(first, dot),
            };
        }
        let mut arguments = Vec::new();
        for operand in rest {
            arguments.push(self.operand(operand, dot)?);
        }
        arguments.extend(last);
        let Some((name, fields)) = first.fields.split_last() else {
            let shown = self.source.get(first.at..first.end).unwrap_or_default();
            return Err(self.error_in(first, format!("can't give argument to non-function {shown}")));
        };
        let owner = self.resolve(first, fields, dot)?;
        let result = owner.method(name, &arguments).unwrap_or_else(|| {
            Err(match owner.field(name) {
                Ok(_) if matches!(owner, Value::Subject(_)) => {
                    format!("wrong number of args for {name}: want 0 got {}", arguments.len())
                }
                Ok(_) => format!("{name} has arguments but cannot be invoked as function"),
                Err(unknown) => unknown,
            })
        });
        result.map_err(|reason| self.error_in(first, reason))
    }

    /// Calls the function that is the first of the operands.
    fn call(
        &mut self,
        function: Function,
        operands: &[Operand],
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Value, TemplateError> {
        let mut arguments = Vec::new();
        for operand in operands.iter().skip(1) {
            let value = self.operand(operand, dot)?;
            // `and` and `or` look at no more than they need.
            if function.decides(&value) {
                return Ok(value);
            }
            arguments.push(value);
        }
        arguments.extend(last);
        let (Some(first), Some(end)) = (operands.first(), operands.last()) else { return Ok(Value::Missing) };
        function.call(&arguments, self.purpose).map_err(|error| match error {
            CallError::Count(reason) => {
                self.error(first.at, first.at..first.at + function.name().len(), reason)
            }
            // One that came through the pipe stands nowhere.
            CallError::Argument(number, reason) => {
                self.error_in(operands.get(number + 1).unwrap_or(first), reason)
            }
            CallError::Failed(reason) => self.error(first.at, first.at..end.end, reason),
        })
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, TemplateError> {
        self.step(operand.at)?;
        let Some((name, fields)) = operand.fields.split_last() else {
            return self.resolve(operand, &[], dot);
        };
        let owner = self.resolve(operand, fields, dot)?;
        let result = owner.method(name, &[]).unwrap_or_else(|| owner.field(name));
        result.map_err(|reason| self.error_in(operand, reason))
    }

    /// What an operand begins with, and the first of its fields.
    fn resolve(&mut self, operand: &Operand, fields: &[String], dot: &Value) -> Result<Value, TemplateError> {
        let mut value = match &operand.base {
            Base::Dot => dot.clone(),
            Base::Constant(value) => value.clone(),
            Base::Variable(name) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                found.map_or(Value::Missing, |(_, value)| value.clone())
            }
            Base::Parentheses(inner) => self.pipeline(inner, dot)?,
            Base::Function(function) => self.call(*function, std::slice::from_ref(operand), dot, None)?,
        };
        for name in fields {
            value = value.field(name).map_err(|reason| self.error_in(operand, reason))?;
        }
        Ok(value)
    }

    fn write(&mut self, text: &str) -> Result<(), TemplateError> {
        if self.text.len() + text.len() > OUTPUT_BYTES_MAX {
            return Err(self.error(0, 0..0, format!("it writes more than {OUTPUT_BYTES_MAX} bytes")));
        }
        self.text.push_str(text);
        Ok(())
    }

    fn step(&mut self, at: usize) -> Result<(), TemplateError> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(self.error(at, at..at, format!("it takes more than {STEPS_MAX} steps")));
        }
        Ok(())
    }

    /// An error at an operand.
    fn error_in(&self, operand: &Operand, reason: impl AsRef<str>) -> TemplateError {
        self.error(operand.field_at, operand.at..operand.end, reason)
    }

    /// An error at a byte of the source, with the part of it that is meant.
    fn error(&self, at: usize, part: Range<usize>, reason: impl AsRef<str>) -> TemplateError {
        /// Most that is shown of it, in letters.
        const SHOWN_MAX: usize = 20;
        let (line, byte) = line_and_byte(self.source, at);
        let part = self.source.get(part).unwrap_or_default();
        let shown = match part.chars().count() > SHOWN_MAX {
            true => part.chars().take(SHOWN_MAX).chain("...".chars()).collect(),
            false => part.to_owned(),
        };
        let reason = format!("executing \"\" at <{shown}>: {}", reason.as_ref());
        TemplateError { place: format!("{line}:{byte}"), reason }
    }
}
