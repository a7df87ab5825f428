/** Labels of one exposed name: `…_bucket`, `…_sum` and `…_count` of a histogram are three names. */
export interface ExposedMetric {
  /** Metric of the name, from `# TYPE`. */
  readonly family: string;
  /** Values of each label. */
  readonly labels: ReadonlyMap<string, ReadonlySet<string>>;
}

/** Parses Prometheus' text format into metrics by name. @throws SyntaxError */
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
