import type { SyntaxNode } from '@lezer/common';
import { parser } from '@prometheus-io/lezer-promql';

export interface LabelMatcher {
  readonly label: string;
  /** Compared values; for a regular expression, each alternative. */
  readonly values: readonly string[];
}

export interface Selector {
  readonly metric: string;
  readonly matchers: readonly LabelMatcher[];
}

export interface ReadExpression {
  readonly selectors: readonly Selector[];
  /** Labels for grouping or matching. */
  readonly grouping: readonly string[];
}

/**
 * Parses the metrics and labels of a PromQL expression with Prometheus' own grammar.
 *
 * @throws SyntaxError
 */
export function readPromQl(expression: string): ReadExpression {
  const selectors: Selector[] = [];
  const grouping: string[] = [];
  const textOf = ({ from, to }: { from: number; to: number }): string => expression.slice(from, to);
  parser.parse(expression).iterate({
    enter({ type, node }) {
      if (type.isError) throw new SyntaxError(`at ${node.from}: ${expression}`);
      if (type.is('VectorSelector')) selectors.push(selectorAt(node, textOf));
      if (type.is('GroupingLabels')) grouping.push(...node.getChildren('LabelName').map(textOf));
    },
  });
  return { selectors, grouping };
}

function selectorAt(node: SyntaxNode, textOf: (node: SyntaxNode) => string): Selector {
  const name = node.getChild('Identifier');
  if (name === null) throw new SyntaxError(`a selector without a metric's name: ${textOf(node)}`);
  const matchers = node.getChild('LabelMatchers')?.getChildren('UnquotedLabelMatcher') ?? [];
  return {
    metric: textOf(name),
    matchers: matchers.map((matcher) => {
      const [label, operator, literal] = ['LabelName', 'MatchOp', 'StringLiteral'].map((part) => {
        const child = matcher.getChild(part);
        if (child === null) throw new SyntaxError(`a matcher without ${part}: ${textOf(matcher)}`);
        return textOf(child);
      }) as [string, string, string];
      const text = JSON.parse(literal) as string;
      return { label, values: operator.endsWith('~') ? text.split('|') : [text] };
    }),
  };
}
