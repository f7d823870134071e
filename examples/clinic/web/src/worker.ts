import '@nizhal/db-collection/store/wa-worker'
