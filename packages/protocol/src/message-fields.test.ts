import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { agentMessageSchema } from './agent-messages.ts';
import { serverMessageSchema } from './server-messages.ts';

const discriminators = new Set(['status', 'action']);

test('every field of every message is in snake_case and has a description', () => {
  let fields = 0;
  walk(
    z.toJSONSchema(z.object({ agent: agentMessageSchema, server: serverMessageSchema }), { io: 'input' }),
    [],
  );
  assert.ok(fields > 80, `walked ${fields} fields`);

  function walk(schema: z.core.JSONSchema._JSONSchema | undefined, path: string[]): void {
    if (schema === undefined || typeof schema === 'boolean') return;
    for (const [name, field] of Object.entries(schema.properties ?? {})) {
      const here = [...path, name];
      if (path.length > 0 && !discriminators.has(name)) {
        fields += 1;
        assert.match(name, /^[a-z0-9]+(_[a-z0-9]+)*$/);
        assert.ok(typeof field !== 'boolean' && describes(field), `${here.join('.')} has no description`);
      }
      walk(field, here);
    }
    for (const inner of [...(schema.oneOf ?? []), ...(schema.anyOf ?? [])]) walk(inner, path);
    if (!Array.isArray(schema.items)) walk(schema.items, [...path, '[]']);
  }
});

function describes(schema: z.core.JSONSchema.JSONSchema): boolean {
  return (
    schema.description !== undefined ||
    (schema.anyOf ?? []).some((inner) => typeof inner !== 'boolean' && inner.description !== undefined)
  );
}
