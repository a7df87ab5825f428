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
    const { panels, templating } = await readDashboard();
    assert.ok(templating.list.some(({ name }) => name === 'datasource'));
    for (const { title, type, datasource, targets = [] } of panels) {
      if (type === 'row') continue;
      assert.deepEqual(datasource, { type: 'prometheus', uid: '${datasource}' }, title);
      assert.ok(targets.length > 0, title);
      for (const { expr } of targets) assert.match(expr, /instance=~"\$instance"/, title);
    }
  });
});

function overlap(a: Place, b: Place): boolean {
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}
