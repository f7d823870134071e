// TanStack DB.
export { nizhalCollectionOptions, type Call, type NizhalCollectionConfig, type NizhalCollectionUtils } from './collection'
