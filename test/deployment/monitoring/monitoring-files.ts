import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';

const root = join(import.meta.dirname, '../../..');
const folder = join(root, 'deploy/monitoring');

const ruleSchema = z.strictObject({
  alert: z.string(),
  expr: z.string(),
  for: z.string().optional(),
  labels: z.strictObject({ severity: z.enum(['critical', 'warning']) }),
  annotations: z.strictObject({ summary: z.string(), description: z.string(), runbook_url: z.string() }),
});
export type Rule = z.infer<typeof ruleSchema>;

const rulesSchema = z.strictObject({
  groups: z.array(z.strictObject({ name: z.string(), rules: z.array(ruleSchema) })),
});

const ruleTestsSchema = z.object({
  tests: z.array(
    z.object({
      alert_rule_test: z.array(z.object({ alertname: z.string(), exp_alerts: z.array(z.unknown()) })),
    }),
  ),
});

const targetSchema = z.object({
  expr: z.string(),
  legendFormat: z.string(),
  refId: z.string(),
  datasource: z.unknown(),
});
const panelSchema = z.object({
  id: z.int(),
  title: z.string(),
  type: z.enum(['row', 'stat', 'timeseries']),
  datasource: z.unknown().optional(),
  gridPos: z.object({ x: z.int(), y: z.int(), w: z.int(), h: z.int() }),
  targets: z.array(targetSchema).optional(),
});
const dashboardSchema = z.object({
  schemaVersion: z.int(),
  annotations: z.object({
    list: z.array(z.object({ expr: z.string(), textFormat: z.string(), datasource: z.unknown() })),
  }),
  templating: z.object({
    list: z.array(
      z.object({
        name: z.string(),
        type: z.enum(['datasource', 'query']),
        datasource: z.unknown().optional(),
        definition: z.string().optional(),
        query: z.union([z.string(), z.object({ query: z.string() })]),
      }),
    ),
  }),
  panels: z.array(panelSchema),
});
export type Dashboard = z.infer<typeof dashboardSchema>;

export async function readRules(): Promise<Rule[]> {
  const text = await readFile(join(folder, 'alerts.yml'), 'utf8');
  return rulesSchema.parse(parse(text)).groups.flatMap(({ rules }) => rules);
}

/** Counts how often promtool's tests expect each alert to fire and to be silent. */
export async function readRuleTests(): Promise<Map<string, { fires: number; silent: number }>> {
  const text = await readFile(join(folder, 'alerts.test.yml'), 'utf8');
  const counts = new Map<string, { fires: number; silent: number }>();
  for (const { alert_rule_test: checks } of ruleTestsSchema.parse(parse(text)).tests) {
    for (const { alertname, exp_alerts: expected } of checks) {
      const count = counts.get(alertname) ?? { fires: 0, silent: 0 };
      count[expected.length > 0 ? 'fires' : 'silent'] += 1;
      counts.set(alertname, count);
    }
  }
  return counts;
}

export async function readDashboard(): Promise<Dashboard> {
  return dashboardSchema.parse(JSON.parse(await readFile(join(folder, 'grafana-dashboard.json'), 'utf8')));
}

/** Returns the content of each section of docs/monitoring.md by heading. */
export async function readRunbook(): Promise<Map<string, string>> {
  const text = await readFile(join(root, 'docs/monitoring.md'), 'utf8');
  const [, ...sections] = text.split(/^#{2,} /m);
  return new Map(
    sections.map((section) => {
      const end = section.indexOf('\n');
      return [section.slice(0, end).trim(), section.slice(end).trim()];
    }),
  );
}

/** An expression with the labels that its texts show. */
export interface WatchedExpression {
  readonly where: string;
  readonly expression: string;
  readonly shownLabels: readonly string[];
}

/** Returns all expressions of the rules and the dashboard. */
export async function watchedExpressions(): Promise<WatchedExpression[]> {
  const rules = (await readRules()).map(({ alert, expr, annotations }) => ({
    where: alert,
    expression: expr,
    shownLabels: labelsIn(Object.values(annotations).join(' '), /\$labels\.(\w+)/g),
  }));
  const { panels, annotations, templating } = await readDashboard();
  const queries = panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr, legendFormat }) => ({
      where: `panel “${title}”`,
      expression: withoutVariables(expr),
      shownLabels: labelsIn(legendFormat, /\{\{(\w+)\}\}/g),
    })),
  );
  const marks = annotations.list.map(({ expr, textFormat }) => ({
    where: 'annotation',
    expression: withoutVariables(expr),
    shownLabels: labelsIn(textFormat, /\{\{(\w+)\}\}/g),
  }));
  const variables = templating.list.flatMap(({ name, query }) => {
    if (typeof query === 'string') return [];
    const [, expression, label] = /^label_values\((.*), (\w+)\)$/.exec(query.query) ?? [];
    if (expression === undefined || label === undefined) throw new SyntaxError(query.query);
    return [{ where: `variable ${name}`, expression, shownLabels: [label] }];
  });
  return [...rules, ...queries, ...marks, ...variables];
}

function labelsIn(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(([, label = '']) => label);
}

/** Replaces Grafana's variables, where PromQL requires a duration. */
function withoutVariables(expression: string): string {
  return expression.replaceAll(/\[\$__\w+\]/g, '[5m]');
}
