import t from 'tap'
import { storeContract } from './store.contract.ts'
import { coldBackend, memoryBackend, sealedBackend, sqliteBackend } from './store-world.ts'

storeContract(t, memoryBackend)
storeContract(t, sqliteBackend)
storeContract(t, coldBackend)
storeContract(t, sealedBackend)
