import t from 'tap'
import { alignLines, PROSE, TABLE, widthOf } from '../../../src/cli/elastic-text.ts'

t.test('a column is as wide as its widest cell, with a least width and padding', async t => {
  t.same(alignLines(['NAME\tREADY\tAGE', 'a\t1/1\t5s', 'a-long-name\t0/1\t10m'], TABLE), [
    'NAME          READY   AGE',
    'a             1/1     5s',
    'a-long-name   0/1     10m',
  ])
})

t.test('a line without the cell ends the column', async t => {
  t.same(alignLines(['Name:\tx', 'Labels:\ta=b', 'Containers:', '  a:', '    Long Key:\ty', '    K:\tz'], PROSE), [
    'Name:    x',
    'Labels:  a=b',
    'Containers:',
    '  a:',
    '    Long Key:  y',
    '    K:         z',
  ])
})

t.test('colour codes take no room, wide characters take two columns', async t => {
  t.equal(widthOf('\x1b[32mRunning\x1b[0m'), 7)
  t.equal(widthOf('日本'), 4)
  t.same(alignLines(['\x1b[32mok\x1b[0m\tx', 'longer\ty'], PROSE), ['\x1b[32mok\x1b[0m      x', 'longer  y'])
})
