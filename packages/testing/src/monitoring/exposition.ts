/** What a scrape knows of one name: `…_bucket`, `…_sum` and `…_count` of a histogram are three of them. */
export interface ExposedMetric {
  /** The metric that it belongs to, as `# TYPE` has it. */
  readonly family: string;
  /** Each label with the values that were seen. */
  readonly labels: ReadonlyMap<string, ReadonlySet<string>>;
}

/** Reads Prometheus' text format, by name. @throws SyntaxError */
export function readExposition(text: string): Map<string, ExposedMetric> {
  const metrics = new Map<string, { family: string; labels: Map<string, Set<string>> }>();
  let family = '';
  for (const line of text.split('\n').filter((line) => line !== '')) {
    const type = /^# TYPE (\S+) /.exec(line);
    if (type !== null) family = type[1] ?? '';
    if (line.startsWith('#')) continue;
    const sample = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+$/.exec(line);
    if (sample?.[1] === undefined || !sample[1].startsWith(family)) throw new SyntaxError(line);
    const metric = metrics.get(sample[1]) ?? { family, labels: new Map<string, Set<string>>() };
    metrics.set(sample[1], metric);
    for (const [, label = '', value = ''] of (sample[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
      metric.labels.set(label, (metric.labels.get(label) ?? new Set()).add(value));
    }
  }
  return metrics;
}
