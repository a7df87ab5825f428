import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Dashboard, readDashboard } from './monitoring-files.ts';

type Place = Dashboard['panels'][number]['gridPos'];

describe('the dashboard', () => {
  test('has panels with ids of their own that do not overlap', async () => {
    const { panels } = await readDashboard();
    assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
    for (const [index, { title, gridPos }] of panels.entries()) {
      assert.ok(gridPos.x >= 0 && gridPos.x + gridPos.w <= 24, title);
      const other = panels.slice(index + 1).find((panel) => overlap(panel.gridPos, gridPos));
      assert.equal(other, undefined, `${title} and ${other?.title}`);
    }
  });

  test('takes its data from whatever Prometheus is chosen', async () => {
    const { panels, templating, annotations } = await readDashboard();
    const chosen = { type: 'prometheus', uid: '${datasource}' };
    for (const { name, type, datasource, definition, query } of templating.list) {
      if (type === 'datasource') assert.deepEqual([name, query], ['datasource', 'prometheus']);
      if (type !== 'query') continue;
      assert.deepEqual(datasource, chosen, name);
      assert.equal(
        typeof query === 'object' && query.query,
        definition,
        'Grafana shows the one and asks the other',
      );
    }
    assert.ok(templating.list.some(({ type }) => type === 'datasource'));
    for (const { datasource } of annotations.list) assert.deepEqual(datasource, chosen);
    for (const { title, type, datasource, targets = [] } of panels) {
      if (type === 'row') continue;
      assert.deepEqual(datasource, chosen, title);
      assert.ok(targets.length > 0, title);
      for (const target of targets) {
        assert.deepEqual(target.datasource, chosen, title);
        assert.match(target.expr, /instance=~"\$instance"/, title);
      }
    }
  });
});

function overlap(a: Place, b: Place): boolean {
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}
