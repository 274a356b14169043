//! What the turns say.

/// The turns of one picture size, in samples a second.
pub struct Row {
    side: u32,
    picture_bytes: u64,
    pub disk: Vec<f64>,
    pub s3: Vec<f64>,
    pub peer: Vec<f64>,
}

impl Row {
    pub fn new(side: u32, picture_bytes: u64) -> Self {
        Self {
            side,
            picture_bytes,
            disk: Vec::new(),
            s3: Vec::new(),
            peer: Vec::new(),
        }
    }

    pub fn print(mut self) {
        print!("{} px JPEG of {} kB:", self.side, self.picture_bytes / 1000);
        let disk = median(&mut self.disk);
        print!(" from disk {disk:.0} samples/s per core");
        if !self.s3.is_empty() {
            let s3 = median(&mut self.s3);
            print!(", from S3 {s3:.0} ({:.0} % of disk)", 100.0 * s3 / disk);
        }
        if !self.peer.is_empty() {
            let peer = median(&mut self.peer);
            print!(
                ", Python from disk {peer:.0} (disk is {:.2} times that)",
                disk / peer
            );
        }
        println!();
    }
}

fn median(turns: &mut [f64]) -> f64 {
    turns.sort_by(f64::total_cmp);
    turns[turns.len() / 2]
}
