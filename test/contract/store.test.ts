import t from 'tap'
import { storeContract } from './store.contract.ts'
import { coldBackend, memoryBackend, sqliteBackend } from './store-world.ts'

storeContract(t, memoryBackend)
storeContract(t, sqliteBackend)
storeContract(t, coldBackend)
